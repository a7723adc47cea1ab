"""However a mount ends, nothing hangs, and nothing of anybody else's is touched.

Each kind of wait: a lookup, a listing, an open or a read that the origin does not answer, or an
attribute of a file whose lookup is unanswered; with invalidations of attributes, names and pages
asked for at that moment.
"""

import errno
import os
import signal
import subprocess
import sys
import tempfile
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

LIST = """
import os, sys
try:
    print(os.listdir(sys.argv[1]))
except OSError as error:
    print(error.errno)
"""

# What waits, which requests of the origin hang meanwhile, and which of them tells that it waits.
WAITS = {
    "lookup": ("os.stat(M + '/e/new')", "metadata", "head"),
    "readdir": ("os.listdir(M + '/e')", "metadata", "list"),
    "open": ("while True: os.close(os.open(M + '/d/old', os.O_RDONLY))", "data", "get"),
    "read": ("open(M + '/d/big', 'rb').read()", "data", "get"),
    "getxattr": ("os.getxattr(M + '/e/new', 'user.ossfs.state')", "metadata", "head"),
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
    os.stat(mount.point / "e")  # or else its lookup would hang, and lock the root
    read_and_damage(mount, mount.point / "d/kept")
    emulator.reset()
    emulator.faults(hang=hanging)
    user = subprocess.Popen(
        [sys.executable, "-c", f"import os, sys\nM = sys.argv[1]\n{code}", mount.point],
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


def read_and_damage(mount: Mount, path: Path) -> None:
    """So that verifying it will find bad bytes, and the kernel is to drop its pages."""
    path.read_bytes()
    [file] = mount.cache.glob("*/data/*/*")
    with file.open("r+b") as data:
        data.write(b"damage")
        os.fsync(data.fileno())


def error_of(path: Path) -> bytes:
    """What the mount says of a file; nothing if all is well."""
    try:
        return os.getxattr(path, "user.ossfs.error")
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return b""


def answer_of(path: Path) -> str:
    """What a process gets that lists ``path``; it must not wait."""
    command = [sys.executable, "-c", LIST, path]
    run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    return run.stdout.strip()


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


def test_kill_9_while_the_pages_of_a_file_that_is_being_read_are_to_be_dropped(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    (emulator.directory / "big").write_bytes(os.urandom(8 * MIB))
    mount = mounts(options=["--timeout", "600"]).start()
    big = mount.point / "big"
    with big.open("rb", buffering=0) as file:
        file.read(4096)
    os.setxattr(big, "user.ossfs.evict", b"1")
    with big.open("rb", buffering=0) as file:
        file.read(4096)
    [data] = mount.cache.glob("*/data/*/*")
    with data.open("r+b") as file:
        file.write(b"damage")
        os.fsync(file.fileno())
    emulator.faults(hang="data")
    asked = emulator.requests("get")
    code = "import os, sys; os.pread(os.open(sys.argv[1], os.O_RDONLY), 4096, 6 << 20)"
    user = subprocess.Popen([sys.executable, "-c", code, big], stderr=subprocess.DEVNULL)
    eventually(lambda: emulator.requests("get") > asked)
    os.setxattr(big, "user.ossfs.verify", b"1")
    eventually(lambda: b"damaged" in error_of(big))
    descriptor = os.pidfd_open(mount.pid)
    os.kill(mount.pid, signal.SIGKILL)
    wait_for_end(descriptor, PATIENCE_S)
    os.close(descriptor)
    mount.pid = 0
    assert answer_of(mount.point) == "107"
    assert user.wait(PATIENCE_S) != 0
    detach(str(mount.point))


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
        if how != "abort":
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
