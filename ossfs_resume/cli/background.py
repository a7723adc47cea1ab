"""Run a server in the background, but only once it serves.

The command returns when the server says that it is ready, or with the server's own error. The
fork comes before any thread, connection or catalogue exists: none of them survives one.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from errno import EAGAIN
from functools import partial

from ossfs_resume.errors import MountError
from ossfs_resume.shortages import THREADS


def run_in_background(serve: Callable[[Callable[[], None]], int]) -> int:
    """Fork; the child calls ``serve(ready)`` and ends with its exit status.

    The parent returns 0 when the child calls ``ready``, else the child's exit status, which the
    child tells before it ends: one whose threads sleep in a disk that hangs cannot end. Until then
    its messages go to the terminal; an interrupt ends both. Raises MountError if a signal ended the
    child.
    """
    reader, writer = os.pipe()
    try:
        child = os.fork()
    except OSError as error:
        raise MountError(THREADS if error.errno == EAGAIN else f"cannot fork: {error}") from error
    if child == 0:
        os.close(reader)
        os._exit(_run_child(serve, writer))
    os.close(writer)
    try:
        told = os.read(reader, 1)
        return told[0] if told else _status_of(child)
    except KeyboardInterrupt:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        raise
    finally:
        os.close(reader)


def close_inherited_descriptors() -> None:
    """Close all but the standard ones and those that systemd hands over on purpose.

    A lock or a pipe of the script that mounts would else live as long as the mount. Nothing may
    have been opened yet.
    """
    first = 3
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        with suppress(ValueError):
            first += int(os.environ.get("LISTEN_FDS", "0"))
    os.closerange(first, max(map(int, os.listdir("/proc/self/fd"))) + 1)


def _status_of(child: int) -> int:
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        raise MountError(f"the mount process was ended by {signal.Signals(-status).name}")
    return status


def fill_standard_descriptors() -> None:
    """Somebody may have started us without them: no pipe and no log may get one of their numbers,
    which `run_in_background` gives to /dev/null."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _run_child(serve: Callable[[Callable[[], None]], int], writer: int) -> int:
    _replace(0, os.O_RDONLY)

    has_told = False

    def tell(status: int) -> None:
        nonlocal has_told
        if has_told:
            return
        has_told = True
        # Not earlier: below an automount point only the process group of who mounts may look at the
        # mount point before it is mounted; anybody else waits for that, we for ourselves.
        os.setsid()
        # The caller may wait for the end of our output; nothing of ours belongs there any more.
        _replace(1, os.O_WRONLY)
        _replace(2, os.O_WRONLY)
        os.chdir("/")
        os.write(writer, bytes([status]))
        os.close(writer)

    status = serve(partial(tell, 0))
    tell(status)
    return status


def _replace(descriptor: int, flags: int) -> None:
    null = os.open(os.devnull, flags)
    os.dup2(null, descriptor)
    os.close(null)
