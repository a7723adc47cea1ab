"""Threads that work in the background: soon after there is work, and not once for every bit of it
(`DelayedWork`); and again and again, to notice what nobody tells this process (`Watch`).

Another program may fill the disk, remove the cache directory or make the disk writable again; a
tool of ours in another process may find that bytes which this one trusts are bad.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from ossfs_resume.errors import CacheError
from ossfs_resume.shortages import log_failure

_log = logging.getLogger(__name__)

_REST = 4


class DelayedWork:
    """Calls ``work`` at most ``interval_s`` after the first ``notify`` since the last call, and at
    once when the notified amounts add up to ``limit``.

    Work that takes long is done less often: ``interval_s`` becomes four times what the last one
    took, but no more than ``longest_s``.

    The thread is a daemon: a process that forgets ``stop`` loses the last interval, but ends.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], None],
        *,
        interval_s: float,
        limit: int,
        longest_s: float = 0.0,
    ) -> None:
        self._work = work
        self.interval_s = self._shortest_s = interval_s
        self._longest_s = max(interval_s, longest_s)
        self.limit = limit
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._amount = 0
        self._due: float | None = None
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Wait for work that is under way; what is due is left undone."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        if self._thread.ident is not None:  # else it could not be started
            self._thread.join()

    def notify(self, amount: int) -> None:
        """There is work, ``amount`` more of it. Never blocks."""
        with self._lock:
            self._amount += amount
            is_first = self._due is None
            if is_first:
                self._due = time.monotonic() + self.interval_s
            if is_first or self._amount >= self.limit:
                self._changed.notify()

    def _run(self) -> None:
        while self._wait():
            began = time.monotonic()
            try:
                self._work()
            except Exception as error:
                log_failure(_log, self._thread.name, error)
            rest_s = _REST * (time.monotonic() - began)
            self.interval_s = min(max(self._shortest_s, rest_s), self._longest_s)

    def _wait(self) -> bool:
        """Until work is due; False when stopping."""
        with self._changed:
            while not self._is_stopping:
                left = None if self._due is None else self._due - time.monotonic()
                if left is not None and (left <= 0 or self._amount >= self.limit):
                    self._amount, self._due = 0, None
                    return True
                self._changed.wait(left)
            return False


_log = logging.getLogger(__name__)

INTERVAL_S = 1.0

Look = Callable[[], None]
"""Looks at one thing and does what it asks for; may block. Raises OSError or CacheError, and is
called again an interval later."""


class Watch:
    """Calls ``looks``, one after the other, in a thread of its own: every ``interval_s`` seconds,
    by default once a second."""

    def __init__(self, name: str, looks: Sequence[Look], interval_s: float | None = None) -> None:
        self._looks = looks
        self._interval_s = INTERVAL_S if interval_s is None else interval_s
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no further look; wait for one that is under way, which needs the catalogue."""
        self._is_stopping.set()
        if self._thread.ident is not None:  # else it could not be started
            self._thread.join()

    def _run(self) -> None:
        while not self._is_stopping.wait(self._interval_s):
            for look in self._looks:
                self._perform(look)

    def _perform(self, look: Look) -> None:
        try:
            look()
        except (OSError, CacheError) as error:
            _log.debug("cannot look after the cache: %s", error)
        except Exception as error:
            log_failure(_log, "looking after the cache", error)
