"""A mount that has somebody waiting for it in each of the ways there are.

Each kind of wait: a lookup, a listing, an open or a read that the origin does not answer, or an
attribute of a file whose lookup is unanswered; while the kernel is to forget attributes, names and
pages.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ossfs_resume.fuse.mounts import detach, mount_at
from support.emulator import EmulatorProcess
from support.mount import Mount
from support.waiting import PATIENCE_S, eventually

MIB = 1 << 20

# What waits, which requests of the origin hang meanwhile, and which of them tells that it waits.
WAITS = {
    "lookup": ("os.stat(M + '/e/new')", "metadata", "head"),
    "readdir": ("os.listdir(M + '/e')", "metadata", "list"),
    "open": ("while True: os.close(os.open(M + '/f/old', os.O_RDONLY))", "data", "get"),
    "read": ("open(M + '/d/big', 'rb').read()", "data", "get"),
    "getxattr": ("os.getxattr(M + '/e/new', 'user.ossfs.state')", "metadata", "head"),
}
READ_PAGES = "os.pread(os.open(M + '/d/pages', os.O_RDONLY), 4096, 6 << 20)"

LIST = """
import os, sys
try:
    print(os.listdir(sys.argv[1]))
except OSError as error:
    print(error.errno)
"""
UNTIL_DEAD = """
import errno, os, sys, time
while True:
    try:
        os.statvfs(sys.argv[1])
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            break
    time.sleep(0.01)
"""


@contextmanager
def waiting(
    wait: str,
    emulator: EmulatorProcess,
    mounts: Callable[..., Mount],
    *options: str,
    pages: bool = False,
) -> Iterator[tuple[Mount, subprocess.Popen[bytes]]]:
    """A mount, and a process that waits for it while the kernel is asked to forget attributes and
    pages; with ``pages`` also those of a file of which a read is unanswered."""
    code, hanging, kind = WAITS[wait]
    mount = _prepared(emulator, mounts, *options)
    emulator.faults(hang="all" if pages else hanging)
    with ExitStack() as stack:
        stack.callback(_take_down, emulator, mount)
        if pages:
            stack.enter_context(_user(READ_PAGES, mount))
            eventually(lambda: emulator.requests("get"))
            emulator.reset()
            emulator.faults(hang="all")
        user = stack.enter_context(_user(code, mount))
        eventually(lambda: emulator.requests(kind))
        os.setxattr(mount.point, "user.ossfs.refresh", b"1")
        os.setxattr(mount.point / "d/kept", "user.ossfs.verify", b"1")
        if pages:
            os.setxattr(mount.point / "d/pages", "user.ossfs.verify", b"1")
            eventually(lambda: "d/pages: 1 cached part damaged" in mount.log.read_text())
        yield mount, user


def _prepared(emulator: EmulatorProcess, mounts: Callable[..., Mount], *options: str) -> Mount:
    """A mount whose kernel knows ``d`` and ``e`` and pages of two files that are damaged since."""
    for name in ("d", "e", "f"):  # alone in f, or it would be fetched before it is opened
        (emulator.directory / name).mkdir()
        (emulator.directory / name / "old").write_bytes(b"x" * 100_000)
    for name in ("big", "pages"):
        (emulator.directory / "d" / name).write_bytes(os.urandom(8 * MIB))
    (emulator.directory / "d/kept").write_bytes(os.urandom(100_000))
    mount = mounts(options=["--timeout", "600", *options]).start()
    for name in ("d", "f"):
        os.listdir(mount.point / name)
    os.stat(mount.point / "e")  # or else its lookup would hang, and lock the root
    for name in ("kept", "pages"):
        with (mount.point / "d" / name).open("rb", buffering=0) as file:
            file.read(4096)
    _damage(mount)
    emulator.reset()
    return mount


def _damage(mount: Mount) -> None:
    """So that verifying finds bad bytes, and the kernel is to drop its pages."""
    for path in mount.cache.glob("*/data/*/*"):
        with path.open("r+b") as data:
            data.write(b"damage")
            os.fsync(data.fileno())


@contextmanager
def _user(code: str, mount: Mount) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs ``code``, where M is the mount."""
    user = subprocess.Popen(
        [sys.executable, "-c", f"import os, sys\nM = sys.argv[1]\n{code}", mount.point],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield user
    finally:
        user.kill()
        user.wait(PATIENCE_S)


def _take_down(emulator: EmulatorProcess, mount: Mount) -> None:
    """Let go of whoever waits."""
    emulator.faults()
    while (there := mount_at(str(mount.point))) is not None and there.is_ours:
        detach(str(mount.point))


def answer_of(path: Path) -> str:
    """What a process gets that lists ``path``: names or an error number. It must not wait."""
    command = [sys.executable, "-c", LIST, path]
    run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    return run.stdout.strip()


@contextmanager
def until_dead(point: Path) -> Iterator[int]:
    """The descriptor of a process that ends when ``point`` answers ENOTCONN."""
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", UNTIL_DEAD, point])
    try:
        descriptor = os.pidfd_open(process.pid)
        yield descriptor
        os.close(descriptor)
    finally:
        process.kill()
        process.wait(PATIENCE_S)
