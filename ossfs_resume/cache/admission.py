"""Lets writers in: no byte goes to the disk for which there is no room.

What the cache takes is known from the last look (``Reclaimer.usage``); what was let in since and
what is being written now is added, so the sum is never below the truth, and ``--cache-size`` is
never passed. The last mebibytes of the disk belong to the catalogue, without which nothing can be
removed.

Eviction in the background begins before the limit is reached, so most writers need not wait. One
who must, waits a while for readers to be done with what fills the cache; if all else fails, what
was fetched furthest ahead of its readers goes. Whoever comes after that is not made to wait, or a
cache full of things that nobody reads would slow everything down.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ossfs_resume.errors import CacheError

_PATIENCE_S = 2.0
"""How long a writer waits for readers to be done with what fills the cache."""
_LONGEST_S = 2 * _PATIENCE_S
"""How long a writer, for whom a reader waits, waits at most, though something is removed."""
_PAUSE_S = 0.02
_RETRY_S = 5.0
"""How long after somebody has lost patience nobody has any."""
_SPARE_BYTES = 8 << 20
"""Most that is written before the disk is asked again what it has free: others write there too."""

Free = Callable[[int, bool], bool]
"""Make room for so many bytes, if need be (the flag) at the cost of what nobody has read yet; False
if nothing can be removed. Blocks, for a while. Raises CacheError."""


@dataclass(slots=True)
class Account:
    """What the cache takes of its ``limit``, None for no limit, all in bytes; thread-safe."""

    limit: int | None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _looking: threading.Lock = field(default_factory=threading.Lock)
    _seen: int = 0
    _since: int = 0
    _in_flight: int = 0

    def admit(self, size: int) -> bool:
        """Begin to write ``size`` bytes; False if they do not fit."""
        with self._lock:
            taken = self._seen + self._since + self._in_flight
            if self.limit is not None and taken + size > self.limit:
                return False
            self._in_flight += size
            return True

    def done(self, size: int) -> None:
        """The writing that was admitted is over, and its bytes can be seen."""
        with self._lock:
            self._in_flight -= size
            self._since += size

    @property
    def in_flight(self) -> int:
        """What is being written."""
        return self._in_flight

    def look(self, count: Callable[[], int]) -> int:
        """Count anew what can be seen; what is written meanwhile may count twice, never not."""
        with self._looking:
            before = self._since
            seen = count()
            with self._lock:
                self._seen = seen
                self._since -= before
        return seen


class Admission:
    """``free_bytes`` asks the disk, of which ``headroom`` bytes stay free; ``require_reserve`` sees
    to it that what is kept can be removed again. Raises CacheError."""

    def __init__(
        self,
        account: Account,
        free_bytes: Callable[[], int],
        free: Free,
        require_reserve: Callable[[], None] = lambda: None,
    ) -> None:
        self.account = account
        self._require_reserve = require_reserve
        self._free_bytes = free_bytes
        self._free = free
        self._impatient_at = -_RETRY_S
        self.headroom = 0
        self._spare = 0

    def room(self, size: int) -> "_Room":
        """Write so many bytes inside. Raises CacheError if there is no room to be made."""
        return _Room(self, size)

    def admit(self, size: int) -> None:
        """Let so many bytes in; they are to be ``done``. Raises CacheError."""
        self._wait_for_room(size)
        try:
            self._require_reserve()
        except BaseException:
            self.account.done(size)
            raise

    def _wait_for_room(self, size: int) -> None:
        limit = self.account.limit
        if limit is not None and size > limit:
            raise CacheError("the cache is smaller than what shall be written")
        began = time.monotonic()
        is_patient = began >= self._impatient_at + _RETRY_S
        deadline = began + _PATIENCE_S if is_patient else began
        while not self._fits(size):
            is_last = time.monotonic() >= deadline
            if is_last:
                self._impatient_at = time.monotonic()
            if not self._free(size, is_last) and is_last:
                raise CacheError("the cache is full and nothing can be removed")
            if time.monotonic() >= began + _LONGEST_S:
                raise CacheError("the cache is full, and others take what is freed")
            time.sleep(_PAUSE_S if not is_last else 0)

    def _fits(self, size: int) -> bool:
        if self.headroom and not self._leaves_headroom(size):
            return False
        return self.account.admit(size)

    def _leaves_headroom(self, size: int) -> bool:
        """The disk is asked again when a small part of what it had to spare was written."""
        self._spare -= size
        if self._spare < 0:
            spare = self._free_bytes() - self.headroom
            self._spare = min(spare // 4, _SPARE_BYTES) - size
            return spare >= size
        return True


class _Room:
    """No generator: it is on the way of every write."""

    __slots__ = ("_admission", "_size")

    def __init__(self, admission: Admission, size: int) -> None:
        self._admission = admission
        self._size = size

    def __enter__(self) -> None:
        self._admission.admit(self._size)

    def __exit__(self, *_: object) -> None:
        self._admission.account.done(self._size)
