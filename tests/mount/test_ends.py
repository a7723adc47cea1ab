"""However a mount ends, nothing hangs, and nothing of anybody else's is touched."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ossfs_resume.fuse.kernel import abort_connection
from ossfs_resume.fuse.mounts import mount_at
from support.emulator import EmulatorProcess
from support.mount import Mount, wait_for_end
from support.waiting import PATIENCE_S, eventually
from support.waits import MIB, WAITS, answer_of, waiting

pytestmark = pytest.mark.fuse

OUTSIDE = {
    "umount -l": lambda mount: subprocess.run(["umount", "-l", mount.point], check=True),
    "fusermount3 -uz": lambda mount: subprocess.run(
        ["fusermount3", "-u", "-z", mount.point], check=True
    ),
    "umount --lazy": lambda mount: subprocess.run(
        [sys.executable, "-m", "ossfs_resume", "umount", "--lazy", mount.point], check=True
    ),
    "umount -f": lambda mount: subprocess.run(["umount", "-f", mount.point], check=False),
    "abort": lambda mount: cut(mount),
}


def cut(mount: Mount) -> None:
    found = mount_at(str(mount.point))
    assert found is not None
    assert abort_connection(found.minor)


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
        # A cut connection leaves its mount, below what comes.
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", mount.point], check=True)
        (mount.point / "file").write_bytes(b"of somebody else")
        if how not in ("abort", "umount -f"):
            # A lazy unmount is not over before its last user, who cannot be killed while he waits.
            emulator.faults()
            user.kill()
            user.wait(PATIENCE_S)
        wait_for_end(descriptor, PATIENCE_S)
        os.close(descriptor)
        assert answer_of(mount.point) == "['file']"
        subprocess.run(["umount", mount.point], check=True)


def put_in_place(kind: str, mount: Mount, elsewhere: Path) -> None:
    """Mount something on the mount's place."""
    if kind == "ossfs-resume":
        mount.start()
        return
    source = ["-t", "tmpfs", "tmpfs"]
    if kind == "overlay":
        for name in ("lower", "upper", "work"):
            (elsewhere / name).mkdir(parents=True)
        folders = f"lowerdir={elsewhere}/lower,upperdir={elsewhere}/upper,workdir={elsewhere}/work"
        source = ["-t", "overlay", "-o", folders, "overlay"]
    subprocess.run(["mount", *source, mount.point], check=True)
    (mount.point / "big").write_bytes(b"of somebody else")


@pytest.mark.parametrize("kind", [*["ossfs-resume"] * 6, "tmpfs", "overlay"])
def test_what_is_mounted_at_once_after_an_unmount_stays(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], tmp_path: Path, kind: str
) -> None:
    """Although a read of the old mount is still under way, for nobody."""
    (emulator.directory / "big").write_bytes(b"x" * 50_000_000)
    mount = mounts().start()
    emulator.faults(total_bytes_per_s=100_000)
    with (mount.point / "big").open("rb", buffering=0) as big:
        big.read(1)
    descriptor = os.pidfd_open(mount.pid)
    subprocess.run(["umount", mount.point], check=True)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        mount.pid = 0
        put_in_place(kind, mount, Path(elsewhere))
        wait_for_end(descriptor, PATIENCE_S)
        os.close(descriptor)
        assert answer_of(mount.point) == "['big']"
        subprocess.run(["umount", "-l", mount.point], check=True)
    if kind == "ossfs-resume":
        mount.pid = 0


@pytest.mark.parametrize("how", ["mount --move", "mv"])
def test_a_mount_that_was_moved_is_taken_away_where_it_is(
    mounts: Callable[..., Mount], tmp_path: Path, how: str
) -> None:
    mount: Mount = mounts()
    mount.point = tmp_path / "parent/mnt"
    mount.point.mkdir(parents=True)
    mount.start()
    moved = tmp_path / "moved/mnt"
    if how == "mv":
        mount.point.parent.rename(moved.parent)
    else:
        moved.mkdir(parents=True)
        subprocess.run(["mount", "--move", mount.point, moved], check=True)
    assert mount_at(str(moved)) is not None
    mount.stop()
    assert mount_at(str(moved)) is None


def test_what_is_mounted_over_a_mount_stays_and_the_log_says_what_is_below(
    mount: Mount, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    subprocess.run(["mount", "--bind", tmp_path / "other", mount.point], check=True)
    mount.stop()
    assert os.listdir(mount.point) == ["file"]
    assert f"{mount.point} stays, dead, below what is mounted over it" in mount.log.read_text()
    subprocess.run(["umount", mount.point], check=True)
    mount.start()  # clears it
    mount.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_is_mounted_inside_a_mount_stays(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], number: signal.Signals
) -> None:
    """A lazy unmount would take it along."""
    (emulator.directory / "d").mkdir()
    (emulator.directory / "d/x").touch()
    mount = mounts().start()
    inside = mount.point / "d"
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", inside], check=True)
    (inside / "file").write_bytes(b"of somebody else")
    files = os.open(inside, os.O_RDONLY)
    mount._end(number)
    told = mount.run()
    assert told.returncode == 1
    assert f"{inside} is mounted inside" in told.stderr
    assert mount_at(str(inside)) is not None
    assert os.listdir(files) == ["file"]
    os.close(files)
    subprocess.run(["umount", "-l", mount.point], check=True)


def test_a_killed_reader_on_a_slow_mount_keeps_no_process_alive(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    (emulator.directory / "big").write_bytes(b"x" * 8 * MIB)
    mount = mounts(options=["--bandwidth", "1"]).start()
    reader = subprocess.Popen(["cat", mount.point / "big"], stdout=subprocess.DEVNULL)
    eventually(lambda: emulator.requests("get"))
    reader.kill()
    cut(mount)
    descriptor = os.pidfd_open(mount.pid)
    mount.pid = 0
    reader.wait(PATIENCE_S)
    wait_for_end(descriptor, PATIENCE_S)
    os.close(descriptor)


def test_umount_waits_for_the_process_so_that_the_cache_is_free(
    emulator: EmulatorProcess, mount: Mount
) -> None:
    descriptor = os.pidfd_open(mount.pid)
    subprocess.run([sys.executable, "-m", "ossfs_resume", "umount", mount.point], check=True)
    wait_for_end(descriptor, 0)
    os.close(descriptor)
    mount.pid = 0
    assert f"{mount.point} was unmounted" in mount.log.read_text()


def test_umount_says_who_else_has_it_mounted(emulator: EmulatorProcess, mount: Mount) -> None:
    """A container or a service has a mount namespace of its own, with a copy of the mount."""
    command = ["unshare", "--mount", "--propagation", "private", "cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write(b"\n")
        other.stdin.flush()
        assert other.stdout.read(1) == b"\n"
        told = subprocess.run(
            [sys.executable, "-m", "ossfs_resume", "umount", mount.point],
            capture_output=True,
            text=True,
            check=True,
        ).stderr
        assert f"process {other.pid} (cat)" in told
        assert len(told.splitlines()) == 1
        assert f"process {mount.pid} goes on and holds the cache" in told
        descriptor = os.pidfd_open(mount.pid)
        mount.pid = 0
        other.stdin.close()
    wait_for_end(descriptor, PATIENCE_S)
    os.close(descriptor)


def test_umount_says_that_a_mount_is_in_use(emulator: EmulatorProcess, mount: Mount) -> None:
    (emulator.directory / "x").write_bytes(b"x")
    command = [sys.executable, "-m", "ossfs_resume", "umount", mount.point]
    with (mount.point / "x").open("rb"):
        told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert told.stderr == (
        f"ossfs-resume: {mount.point} is in use (fuser -vm {mount.point} shows by whom); "
        f"close that, or: ossfs-resume umount --lazy {mount.point}\n"
    )


def test_hangup_opens_the_log_anew_and_the_mount_goes_on(
    emulator: EmulatorProcess, mount: Mount
) -> None:
    mount.log.rename(mount.log.with_suffix(".1"))
    os.kill(mount.pid, signal.SIGHUP)
    os.kill(mount.pid, signal.SIGUSR2)  # which is told in the log
    eventually(lambda: mount.log.exists() and "the log level is debug" in mount.log.read_text())
    assert os.listdir(mount.point) == []
