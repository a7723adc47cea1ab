"""A small process that ends the kernel's connection of a mount whose process was killed.

Usually the kernel does that itself when the device is closed. But a thread in an uninterruptible
sleep (in a disk that hangs, or in the kernel behind a request of ours) keeps the device open after
``kill -9``, and then everybody who touches the mount waits for ever.

Invariants
    1. It is exec'ed, hence has no descriptor of the device, which it would keep open itself. It
       inherits the ``abort`` file of the connection, on standard input, and /proc/PID/stat of the
       process, on standard output. Either belongs to this one connection or process, whatever
       number a later one gets (measured): it can hit no other.
    2. A process is dead when its leader is gone or a zombie: threads may linger.
    3. It ends with the mount's process, whatever the reason.
    4. Of the five seconds for which a mount may hang after ``kill -9`` it sleeps three at most.

It imports as little as it can, since it lives as long as the mount (5 MiB of its own).
"""

import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

    from ossfs_resume.fuse.mounts import Mount

_INTERVAL_S = 1.0
_LINGERING_S = 2.0


def start(mount: "Mount", abort: int | None) -> "subprocess.Popen[bytes]":
    """Watch over this process, which serves ``mount``. Raises OSError.

    ``abort`` is the connection's ``abort`` file. Without it (a user, and no fusectl) the mount is
    detached if a dead process lingers: better an empty directory than one that hangs.
    """
    import subprocess

    status = os.open(f"/proc/{os.getpid()}/stat", os.O_RDONLY | os.O_CLOEXEC)
    means = "detach" if abort is None else "abort"
    identity = (str(mount.mount_id), f"{mount.major}:{mount.minor}", mount.mountpoint)
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, means, *identity],
            stdin=subprocess.DEVNULL if abort is None else abort,
            stdout=status,
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(status)


def is_dead(status: bytes) -> bool:
    """Whether /proc/PID/stat tells of a leader that has ended."""
    return status.rpartition(b") ")[2][:1] in (b"Z", b"X", b"")


def _watch(means: str, mount_id: str, device: str, mountpoint: str) -> None:
    while not is_dead(_status()):
        time.sleep(_INTERVAL_S)
    if means == "abort":
        os.write(0, b"1\n")
        return
    time.sleep(_LINGERING_S)
    if _status() and _is_mounted(mount_id, device, mountpoint):
        os.write(2, b"ossfs-resume: the mount's process was killed and lingers; detaching it\n")
        os.execvp("fusermount3", ["fusermount3", "-u", "-z", "--", mountpoint])


def _status() -> bytes:
    """What /proc tells of the process; nothing once the last of its threads is gone."""
    try:
        return os.pread(1, 4096, 0)
    except ProcessLookupError:
        return b""


def _is_mounted(mount_id: str, device: str, mountpoint: str) -> bool:
    """Whether that mount is the topmost at its place; names with spaces are left alone."""
    with open("/proc/self/mountinfo", "rb") as table:
        lines = [line.split(b" ") for line in table]
    there = [line for line in lines if line[4] == os.fsencode(mountpoint)]
    return bool(there) and there[-1][0] == mount_id.encode() and there[-1][2] == device.encode()


def _ignore_signals() -> None:
    import signal

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    _ignore_signals()
    _watch(*sys.argv[1:])
