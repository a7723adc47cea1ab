"""Tasks that nobody waits for: none of them may end the mount.

An exception that leaves a task ends trio's nursery, the mount, and every reader with it. "Can't
start new thread", where a limit of processes is reached, is one that no code around it thought of.
So whatever runs in the nursery of a mount for a user's wish, or for ever, is started here: what is
not an OssfsError is logged once, with its traceback, and the mount lives on.
"""

import logging
from collections.abc import Awaitable, Callable

import trio

from ossfs_resume.errors import OssfsError
from ossfs_resume.shortages import log_failure

log = logging.getLogger(__name__)

Work = Callable[[], Awaitable[object]]

PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0


async def supervised(name: str, work: Work) -> None:
    """Perform ``work``. What it raises goes to the log, where ``name`` says whose it is."""
    try:
        await work()
    except Exception as error:
        explained(name, error)


async def kept_running(name: str, work: Work) -> None:
    """Perform ``work``, which ends only when it is cancelled; begin again if it fails, after pauses
    of one to sixty seconds. The same failure again is a debug message."""
    pause_s, is_first = PAUSE_S, True
    while True:
        try:
            await work()
            return
        except Exception as error:
            if is_first:
                log_failure(log, f"{name}, which begins again,", error)
            else:
                log.debug("%s failed again", name, exc_info=error)
        await trio.sleep(pause_s)
        pause_s, is_first = min(2 * pause_s, LONGEST_PAUSE_S), False


def explained(what: str, error: Exception) -> OssfsError:
    """The error for those who ask later, and a line in the log now: with a traceback if nobody
    thought of it."""
    if isinstance(error, OssfsError):
        level = logging.DEBUG if error.is_told else logging.WARNING
        log.log(level, "%s: %s", what, error, extra=error.fields)
        return error
    log_failure(log, what, error)
    return OssfsError(f"{type(error).__name__}: {error}; the log has more")
