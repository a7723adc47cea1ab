"""Whether a mount answers, asked from outside.

No thread of a mount's process may ask its own mount: after ``kill -9`` it would wait in the kernel
for an answer that nobody can give, keep the device open, and so keep the mount hanging for
everybody. The question is asked by a process of its own, which is exec'ed and thereby has no
descriptor of ours. When the deadline is over it is left to itself.

What is asked for needs neither the origin nor the cache's disk, and the kernel remembers no answer:
the value of ``user.ossfs.stats`` of the root. (stat(2) is answered from the kernel's memory, long
after the mount has died.) Any answer will do.
"""

import errno
import subprocess
import sys
import threading
from contextlib import suppress
from enum import Enum

from ossfs_resume.errors import MountError
from ossfs_resume.fuse.mounts import Mount
from ossfs_resume.shortages import THREADS

DEADLINE_S = 5.0
"""A process that has not answered by then on a busy machine is taken for one that hangs."""

# The identity is changed in the child itself: the interpreter may be readable for root alone.
_QUESTION = """
import os, sys
path, user, group = sys.argv[1:]
if os.geteuid() == 0 and user != "0":
    os.setgroups([])
    os.setresgid(*[int(group)] * 3)
    os.setresuid(*[int(user)] * 3)
try:
    os.getxattr(path, "user.ossfs.stats")
except OSError as error:
    os._exit(error.errno)
os._exit(0)
"""


class Health(Enum):
    """What became of the question."""

    ANSWERS = "answers"
    DEAD = "is dead"
    HANGS = "does not answer"
    REFUSED = "may not be asked"


def ask(mount: Mount, deadline_s: float = DEADLINE_S) -> Health:
    """Ask what is on top at the mount's place, as the user who made it if this is root.

    Blocks for ``deadline_s`` seconds at most. Raises OSError, or MountError where the limit of
    processes is reached.
    """
    try:
        child = _asking(mount)
    except BlockingIOError as error:
        raise MountError(THREADS) from error
    try:
        return _health(child.wait(deadline_s))
    except subprocess.TimeoutExpired:
        child.kill()
        # It ends when the kernel lets go of it; somebody must take note.
        with suppress(RuntimeError):  # or nobody does
            threading.Thread(target=child.wait, daemon=True).start()
        return Health.HANGS


def _asking(mount: Mount) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [
            *(sys.executable, "-I", "-S", "-c", _QUESTION),
            *(mount.mountpoint, str(mount.user_id), str(mount.group_id)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        # In our own process group: below an automount point all others wait for this very mount.
    )


def _health(status: int) -> Health:
    if status < 0:
        return Health.HANGS  # killed before it had an answer
    if status in (errno.ENOTCONN, errno.ECONNABORTED):
        return Health.DEAD
    return Health.REFUSED if status in (errno.EACCES, errno.EPERM) else Health.ANSWERS
