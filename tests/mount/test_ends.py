"""However a mount ends, nothing hangs, and nothing of anybody else's is touched.

Each kind of wait: a lookup, a listing, an open or a read that the origin does not answer, or an
attribute of a file whose lookup is unanswered; with invalidations of attributes, names and pages
asked for at that moment.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ossfs_resume.fuse.kernel import abort_connection
from ossfs_resume.fuse.mounts import detach, mount_at
from support.emulator import EmulatorProcess
from support.mount import Mount, wait_for_end
from support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.fuse

MIB = 1 << 20

# What waits, which requests of the origin hang meanwhile, and which of them tells that it waits.
WAITS = {
    "lookup": ("os.stat(M + '/d/new')", "metadata", "head"),
    "readdir": ("os.listdir(M + '/e')", "metadata", "list"),
    "open": ("os.open(M + '/d/old', os.O_RDONLY)", "data", "get"),
    "read": ("open(M + '/d/big', 'rb').read()", "data", "get"),
    "getxattr": ("os.getxattr(M + '/d/new', 'user.ossfs.state')", "metadata", "head"),
}
OUTSIDE = {
    "umount -l": lambda mount: subprocess.run(["umount", "-l", mount.point], check=True),
    "fusermount3 -uz": lambda mount: subprocess.run(
        ["fusermount3", "-u", "-z", mount.point], check=True
    ),
    "umount --lazy": lambda mount: subprocess.run(
        [sys.executable, "-m", "ossfs_resume", "umount", "--lazy", mount.point], check=True
    ),
    "abort": lambda mount: cut(mount),
}


def cut(mount: Mount) -> None:
    found = mount_at(str(mount.point))
    assert found is not None
    assert abort_connection(found.minor)


@contextmanager
def waiting(
    wait: str, emulator: EmulatorProcess, mounts: Callable[..., Mount], *options: str
) -> Iterator[tuple[Mount, subprocess.Popen[bytes]]]:
    """A mount, and a process that waits for it while invalidations are asked for."""
    for name in ("d", "e"):
        (emulator.directory / name).mkdir()
        (emulator.directory / name / "old").write_bytes(b"x" * 100_000)
    (emulator.directory / "d/big").write_bytes(os.urandom(8 * MIB))
    (emulator.directory / "d/kept").write_bytes(os.urandom(100_000))
    code, hanging, kind = WAITS[wait]
    mount = mounts(options=["--timeout", "600", *options]).start()
    os.listdir(mount.point / "d")
    kept = (mount.point / "d/kept").open("rb")
    kept.read()
    with (mount.point / "d/big").open("rb", buffering=0) as big:
        big.read(10)
    emulator.reset()
    emulator.faults(hang=hanging)
    user = subprocess.Popen(
        [sys.executable, "-c", f"import os, sys; M = sys.argv[1]; {code}", mount.point],
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: emulator.requests(kind))
        os.setxattr(mount.point, "user.ossfs.refresh", b"1")
        os.setxattr(mount.point / "d/kept", "user.ossfs.verify", b"1")
        yield mount, user
    finally:
        emulator.faults()
        if (there := mount_at(str(mount.point))) is not None and there.is_ours:
            detach(str(mount.point))
        user.kill()
        user.wait(PATIENCE_S)
        kept.close()


def answer_of(path: Path) -> str:
    """What a process gets that lists ``path``; it must not wait."""
    code = (
        "import os, sys\ntry: print(os.listdir(sys.argv[1]))\nexcept OSError as e: print(e.errno)"
    )
    command = [sys.executable, "-c", code, path]
    run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    return run.stdout.strip()


def end_of(pid: int) -> None:
    """Return when a process has ended, threads in the kernel and all."""
    descriptor = os.pidfd_open(pid)
    try:
        wait_for_end(descriptor, PATIENCE_S)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("wait", WAITS)
def test_kill_9_leaves_neither_a_process_nor_a_mount_that_hangs(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], wait: str
) -> None:
    with waiting(wait, emulator, mounts) as (mount, user):
        descriptor = os.pidfd_open(mount.pid)
        os.kill(mount.pid, signal.SIGKILL)
        wait_for_end(descriptor, PATIENCE_S)
        os.close(descriptor)
        mount.pid = 0
        assert answer_of(mount.point) == "107"
        assert user.wait(PATIENCE_S) != 0
        emulator.faults()
        mount.start()  # clears the dead one by itself
        assert sorted(os.listdir(mount.point)) == ["d", "e"]
        mount.stop()


@pytest.mark.parametrize("how", OUTSIDE)
@pytest.mark.parametrize("wait", WAITS)
def test_an_unmount_from_outside_ends_the_process_and_touches_nothing_else(
    emulator: EmulatorProcess,
    mounts: Callable[..., Mount],
    tmp_path: Path,
    wait: str,
    how: str,
) -> None:
    with waiting(wait, emulator, mounts) as (mount, user):
        pid, mount.pid = mount.pid, 0
        descriptor = os.pidfd_open(pid)
        OUTSIDE[how](mount)
        user.kill()
        user.wait(PATIENCE_S)
        # A cut connection leaves its mount, below what comes.
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", mount.point], check=True)
        (mount.point / "file").write_bytes(b"of somebody else")
        wait_for_end(descriptor, PATIENCE_S)
        os.close(descriptor)
        assert answer_of(mount.point) == "['file']"
        subprocess.run(["umount", mount.point], check=True)
