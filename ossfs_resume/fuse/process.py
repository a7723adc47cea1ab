"""What a FUSE session does to its process: descriptors, the timer signal, pyfuse3's log.

Process-wide state, so each piece is a context manager that puts back what it found.
"""

import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_FREEZE_INTERVAL_S = 0.5
_LATE_REPLY = "fuse_reply_* failed with"


class Captured:
    """What was written to the standard error descriptor; complete once the capture has ended."""

    text = ""

    @property
    def last_line(self) -> str:
        lines = self.text.strip().splitlines()
        return lines[-1] if lines else ""


@contextmanager
def standard_descriptors_replaced() -> Iterator[Captured]:
    """Point 0 and 1 at /dev/null and collect what C code writes to 2.

    libfuse gives its reasons on standard error only.
    """
    captured = Captured()
    saved = [os.dup(descriptor) for descriptor in range(3)]
    memory = os.memfd_create("standard-error")
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        for replacement, descriptor in ((null, 0), (null, 1), (memory, 2)):
            os.dup2(replacement, descriptor)
        yield captured
    finally:
        for original, descriptor in zip(saved, range(3), strict=True):
            os.dup2(original, descriptor)
        captured.text = os.pread(memory, 64 * 1024, 0).decode(errors="replace")
        for descriptor in (*saved, memory, null):
            os.close(descriptor)


class Reserve:
    """Descriptors that are kept for what must not fail for want of one: the unmount at the end."""

    def __init__(self, count: int) -> None:
        """Raises OSError, holding none, where the process may not open so many."""
        self._held: list[int] = []
        try:
            for _ in range(count):
                self._held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            self.release()
            raise

    def __repr__(self) -> str:
        return f"<Reserve {len(self._held)} descriptors>"

    def release(self) -> None:
        """From now on others may have them."""
        while self._held:
            os.close(self._held.pop())


@contextmanager
def freeze_guard(interval_s: float = _FREEZE_INTERVAL_S) -> Iterator[None]:
    """Interrupt blocking system calls of the main thread twice a second.

    If a caller is killed between the moment its request makes the device readable and the moment
    we read it, that read waits for the next request with the GIL held: the whole process stands
    still. A signal makes it return EINTR, which pyfuse3 takes well. The handler has nothing to do,
    and must be installed without SA_RESTART or the kernel would simply resume the read.
    """
    previous = signal.signal(signal.SIGALRM, lambda _number, _frame: None)
    signal.siginterrupt(signal.SIGALRM, True)
    timer = signal.setitimer(signal.ITIMER_REAL, interval_s, interval_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, previous)


class LateReplies(logging.Filter):
    """Counts answers that came after their caller was killed, and makes them debug messages."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def filter(self, record: logging.LogRecord) -> bool:
        is_late = _LATE_REPLY in str(record.msg) and "No such file" in record.getMessage()
        if not is_late:
            return True
        self.count += 1
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)


# One session per process, hence one counter.
late_replies = LateReplies()


@contextmanager
def pyfuse3_log_filtered() -> Iterator[None]:
    logger = logging.getLogger("pyfuse3")
    logger.addFilter(late_replies)
    try:
        yield
    finally:
        logger.removeFilter(late_replies)


def enable_stack_dumps() -> None:
    """Have SIGUSR1 print the stacks of all threads, even when the interpreter is stuck."""
    # Standard error may be closed or replaced by something without a descriptor.
    with suppress(AttributeError, OSError, ValueError, RuntimeError):
        faulthandler.register(signal.SIGUSR1, file=sys.stderr)
