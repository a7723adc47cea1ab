"""``kill -9``, whoever waits for whatever: the process is gone and its place answers ENOTCONN.

Within five seconds of the product's own time: `all_within` says why that is not the clock's.
"""

import errno
import os
import signal
from collections.abc import Callable

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount
from support.waiting import PATIENCE_S, all_within
from support.waits import WAITS, answer_of, until_dead, waiting

pytestmark = pytest.mark.fuse

LIMIT_S = 5.0


def kill(mount: Mount) -> None:
    """Kill it, and return when it is gone and everybody is told so."""
    descriptor = os.pidfd_open(mount.pid)
    with until_dead(mount.point) as dead:
        os.kill(mount.pid, signal.SIGKILL)
        all_within([descriptor, dead], LIMIT_S)
    os.close(descriptor)
    mount.pid = 0
    assert answer_of(mount.point) == str(errno.ENOTCONN)


@pytest.mark.parametrize("pages", [False, True], ids=["attributes", "pages"])
@pytest.mark.parametrize("wait", WAITS)
def test_kill_9_leaves_neither_a_process_nor_a_mount_that_hangs(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], wait: str, pages: bool
) -> None:
    with waiting(wait, emulator, mounts, pages=pages) as (mount, user):
        kill(mount)
        assert user.wait(PATIENCE_S) != 0
        emulator.faults()
        mount.start()  # clears the dead one by itself
        assert sorted(os.listdir(mount.point)) == ["d", "e", "f"]
        mount.stop()
