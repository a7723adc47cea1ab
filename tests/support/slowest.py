"""The files whose tests take longest, to be begun first: several processes then end together.

By the time of all their tests in one run of two processes; the last file that is begun alone is
what everybody waits for.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import pytest

TESTS = Path(__file__).parent.parent

SLOWEST = (
    "mount/test_ends.py",
    "mount/test_user.py",
    "mount/test_credentials.py",
    "mount/test_disk_trouble.py",
    "crash/test_power_loss.py",
    "mount/test_hostile.py",
    "fuse/test_session.py",
    "cli/test_terminal.py",
    "mount/test_endpoints.py",
    "mount/test_space.py",
    "mount/test_demo.py",
    "mount/test_messages.py",
    "model/test_store.py",
    "soak/test_scripts.py",
    "mount/test_refusals.py",
    "mount/test_offline.py",
    "mount/test_odd_objects.py",
    "mount/test_permissions.py",
    "mount/test_stall.py",
    "cache/test_sharing.py",
    "mount/test_limits.py",
    "mount/test_resume.py",
    "mount/test_mount_helper.py",
    "cli/test_check.py",
    "fuse/test_as_user.py",
    "fuse/test_mounted.py",
    "cli/test_commands.py",
    "mount/test_endless_answers.py",
    "mount/test_bandwidth.py",
    "mount/test_sharing.py",
)

T = TypeVar("T", bound=pytest.Item)


def slowest_first(items: Iterable[T]) -> list[T]:
    """The tests of the slowest files before all others, which keep their order."""
    place = {TESTS / name: number for number, name in enumerate(SLOWEST)}
    return sorted(items, key=lambda item: place.get(item.path, len(place)))
