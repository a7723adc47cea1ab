"""``mount --materialize``: download something as soon as it is mounted."""

import os
import subprocess
import sys
from collections.abc import Sequence
from threading import Thread

from ossfs_resume.cli.outcome import Exit
from ossfs_resume.cli.places import find_all
from ossfs_resume.cli.verbs import perform
from ossfs_resume.cli.views import view_for
from ossfs_resume.cli.waiting import materialize as materialize_places
from ossfs_resume.wording import quoted


def paths_in(mountpoint: str, wanted: Sequence[str]) -> list[str]:
    """Absolute paths of what is named by its path in the mount, or by one that leads there."""
    point = os.path.abspath(mountpoint)
    return [
        one
        if one == point or one.startswith(f"{point}/")
        else os.path.join(point, one.lstrip("/")).rstrip("/")
        for one in wanted
    ]


def materialize(paths: Sequence[str], *, wait: bool) -> Exit:
    """Have them downloaded, and wait for that if it is wished."""
    if not wait:
        return perform("materialize", paths)
    places, lost = find_all(paths)
    if not places:
        return Exit.FAILURE
    status = materialize_places(places, view_for("auto"), " ".join(map(quoted, paths)))
    return status or (Exit.FAILURE if lost else Exit.SUCCESS)


def materialize_soon(paths: Sequence[str]) -> None:
    """Have them downloaded by the mount that this process serves; never waits.

    No thread of this process may ask its own mount (`fuse.health`): a program that is exec'ed does.
    """
    command = [sys.executable, "-m", "ossfs_resume", "materialize", "--no-wait", "--", *paths]
    run = Thread(target=subprocess.run, args=(command,), kwargs={"check": False}, daemon=True)
    run.start()
