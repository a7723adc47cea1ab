"""Bytes that were written and that the catalogue does not know yet; writers wait if they are many.

A commit takes milliseconds unless another one is waiting for a slow disk with the catalogue's
write lock in its hands. What is written meanwhile would be lost by kill -9, so there is a limit.
But the cache must never cause an error: a catalogue that cannot be changed at all, or that takes
longer than patience allows, holds nobody up. Then progress is at risk, and not the readers.
"""

import threading
import time


class Backlog:
    """A number of bytes; thread-safe."""

    def __init__(self, *, limit: int, patience_s: float) -> None:
        self.limit = limit
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._bytes = 0
        self._is_stuck = False

    @property
    def bytes(self) -> int:
        """How many there are."""
        return self._bytes

    def add(self, count: int) -> None:
        """So many more were written. Never blocks."""
        with self._changed:
            self._bytes += count

    def committed(self, count: int) -> None:
        """So many of them are in the catalogue."""
        with self._changed:
            self._bytes -= count
            self._is_stuck = False
            self._changed.notify_all()

    def give_up(self) -> None:
        """Let everybody go on, until something is committed."""
        with self._changed:
            self._is_stuck = True
            self._changed.notify_all()

    def wait(self) -> None:
        """Wait while there are too many. Whoever loses patience gives up for all."""
        if self._bytes <= self.limit:
            return
        deadline = time.monotonic() + self._patience_s
        with self._changed:
            while self._bytes > self.limit and not self._is_stuck:
                if not self._changed.wait(deadline - time.monotonic()):
                    self._is_stuck = True
                    self._changed.notify_all()
