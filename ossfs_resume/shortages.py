"""What a process can run out of, each as one line that says which limit to raise.

It is nobody's mistake, may hit any code, and passes: no traceback helps, a line does.
"""

import errno
import logging
import time

THREADS = (
    "no thread or process can be started: raise the limit of processes (ulimit -u, TasksMax= of a"
    " service, the pids limit of a container) or of memory (ulimit -v)"
)
FILES = (
    "no more files can be opened: raise the limit of open files (ulimit -n, LimitNOFILE= of a"
    " service)"
)
FILES_OF_ALL = "this machine opens no more files: raise it with sysctl fs.file-max"
MEMORY = (
    "there is no more memory: raise the limit (ulimit -v, MemoryMax= of a service, the memory limit"
    " of a container)"
)

_BY_NUMBER = {errno.EMFILE: FILES, errno.ENFILE: FILES_OF_ALL, errno.ENOMEM: MEMORY}
_HINTS = {errno.EMFILE: "raise ulimit -n", errno.ENFILE: "raise sysctl fs.file-max"}
_WITHOUT_THREAD = ("can't start new thread", "fork() failed")  # of Python, and of libfuse

SILENCE_S = 60.0
"""What ran out once is missed everywhere, thousands of times: one line a minute says so."""

_told: dict[str, float] = {}


def shortage(error: BaseException | None) -> str:
    """The line for what ran out, empty if something else was the reason."""
    pending, seen = [error], set()
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:  # one that was taken out of a group has it as its cause
            continue
        seen.add(id(one))
        if found := _of_one(one):
            return found
        pending.append(one.__cause__)
        if isinstance(one, BaseExceptionGroup):
            pending += one.exceptions
    return ""


def wants_files(error: BaseException) -> bool:
    """Whether a file could not be opened for want of descriptors: then nothing was done with it."""
    return shortage(error) in (FILES, FILES_OF_ALL)


def hint(number: int | None) -> str:
    """What to add to the system's words for an errno: the limit to raise, or nothing."""
    return f" ({_HINTS[number]})" if number in _HINTS else ""


def log_failure(log: logging.Logger, what: str, error: BaseException) -> None:
    """A line for what ran out; else ``what`` failed unexpectedly, with a traceback."""
    line, now = shortage(error), time.monotonic()
    if not line:
        log.error("%s failed unexpectedly", what, exc_info=error)
        return
    is_news = now >= _told.get(line, 0.0)
    if is_news:
        _told[line] = now + SILENCE_S
    log.log(logging.WARNING if is_news else logging.DEBUG, "%s failed: %s", what, line)


def _of_one(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return MEMORY
    if isinstance(error, OSError) and error.errno in _BY_NUMBER:
        return _BY_NUMBER[error.errno]
    return THREADS if any(text in str(error) for text in _WITHOUT_THREAD) else ""
