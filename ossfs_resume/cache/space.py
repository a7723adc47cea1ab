"""Keeps the cache within its limits, in a thread of its own.

A pass compares what the data files take (``total`` of the catalogue and what is not committed yet)
and what is free on the disk with the limits. What is too much goes in this order: parts that were
read of open objects that are larger than the whole cache, which would otherwise push out everything
else; whole entries that nobody uses, as ``eviction`` orders them; parts that were read of any open
object. So an object larger than the cache streams through it. Writers who would pass a limit make
room themselves (`Admission`). Here is said when and how much; ``freeing`` does it.

Admission: lets writers in: no byte goes to the disk for which there is no room.

What the cache takes is known from the last look (``Reclaimer.usage``); what was let in since and
what is being written now is added, so the sum is never below the truth, and ``--cache-size`` is
never passed. The last mebibytes of the disk belong to the catalogue, without which nothing can be
removed.

Eviction in the background begins before the limit is reached, so most writers need not wait. One
who must, waits a while for readers to be done with what fills the cache; if all else fails, what
was fetched furthest ahead of its readers goes. Whoever comes after that is not made to wait, or a
cache full of things that nobody reads would slow everything down.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ossfs_resume.cache import eviction
from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.eviction import Limits, Need, Usage
from ossfs_resume.cache.freeing import Freeing
from ossfs_resume.cache.table import EntryTable
from ossfs_resume.cache.threads import DelayedWork
from ossfs_resume.errors import CacheError

_PATIENCE_S = 2.0
"""How long a writer waits for readers to be done with what fills the cache."""
_PAUSE_S = 0.02
_RETRY_S = 5.0
"""How long after somebody has lost patience nobody has any."""
_SPARE_BYTES = 8 << 20
"""Most that is written before the disk is asked again what it has free: others write there too."""

Free = Callable[[int, bool], bool]
"""Make room for so many bytes, if need be (the flag) at the cost of what nobody has read yet; False
if nothing can be removed. Blocks. Raises CacheError."""


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


_log = logging.getLogger(__name__)

_MIB = 1 << 20
_INTERVAL_S = 0.5


class Reclaimer:
    """``space`` asks the file system of the cache, ``spare`` how much of what the cache takes there
    will be used again before it takes more; they block and raise CacheError."""

    def __init__(
        self,
        catalog: Catalog,
        table: EntryTable,
        freeing: Freeing,
        limits: Limits,
        space: Callable[[], os.statvfs_result],
        spare: Callable[[], int] = lambda: 0,
    ) -> None:
        self._catalog = catalog
        self._table = table
        self.freeing = freeing
        """For whoever wants something in particular to go."""
        self._limits = limits
        self._early = eviction.early(limits)
        self._space = space
        self._spare = spare
        self._passing = threading.Lock()
        self._is_short = False
        self.admission = Admission(
            Account(limits.size), self._free_bytes, self._free_for, freeing.require_ballast
        )
        """For those who write."""
        self.allocated = 0
        self._work = DelayedWork(
            "cache-space", self._in_background, interval_s=_INTERVAL_S, limit=self._prepare()
        )

    def start(self) -> None:
        """Start the thread; the first pass comes soon."""
        self._work.start()
        self._work.notify(0)

    def stop(self) -> None:
        """Stop the thread."""
        self._work.stop()

    def wrote(self, size: int) -> None:
        """So many bytes more are in the cache. Never blocks."""
        self._work.notify(size)

    def released(self) -> None:
        """An entry is not used any more. Never blocks."""
        if self._is_short:
            self._work.notify(0)

    def look(self) -> None:
        """Somebody else may have taken the room. Never blocks."""
        if self._limits != Limits():
            self._work.notify(0)

    def usage(self) -> Usage:
        """What the cache takes and its disk has. Raises CacheError."""
        space = self._space()
        self.allocated = self.admission.account.look(self._count)
        return Usage(
            self.allocated,
            space.f_blocks * space.f_frsize,
            space.f_bavail * space.f_frsize + self._spare(),
            space.f_files,
            space.f_favail,
        )

    def _count(self) -> int:
        return self._catalog.allocated_with(self._uncommitted)

    def _uncommitted(self) -> int:
        return sum(entry.uncounted_bytes for entry in self._table.entries())

    def capacity(self) -> int:
        """How many bytes the cache may take at this moment. Raises CacheError."""
        with self._passing:
            return eviction.capacity(self.usage(), self._limits)

    def reclaim(self) -> None:
        """One pass. Raises CacheError."""
        with self._passing:
            left = Need(0, 0)
            if eviction.excess(self.usage(), self._early):
                self.freeing.commit()
                usage = self.usage()
                left = self._free(eviction.excess(usage, self._early), usage)
            self._is_short = bool(left)
            if not left:
                self.freeing.nothing_is_short()

    def _free_for(self, size: int, is_urgent: bool) -> bool:
        """Make room for so many bytes; False if nothing can be removed."""
        with self._passing:
            self.freeing.commit()
            usage, admission = self.usage(), self.admission
            size += admission.account.in_flight
            need = eviction.shortage(usage, self._limits, admission.headroom, size)
            if not need or self._free(need, usage) != need:
                return True
            if not is_urgent:
                return False
            return self.freeing.remove_parts(need, 0, larger_than=0, ahead=True) != need

    def _free(self, need: Need, usage: Usage) -> Need:
        """Remove what is needed, as far as it can be; what is still needed."""
        if not need:
            return need
        capacity = eviction.capacity(usage, self._limits)
        left = self.freeing.remove_parts(need, capacity, larger_than=capacity)
        if left != need:
            # It goes on freeing what it takes; another pass comes before anything else must go.
            self._work.notify(0)
            return left
        left = self.freeing.evict_idle(need)
        return self.freeing.remove_parts(left, capacity, larger_than=0)

    def _prepare(self) -> int:
        """Set the headroom; after how many written bytes to look again before the interval is
        over."""
        if self._limits == Limits():
            return 1 << 62
        try:
            usage = self.usage()
        except CacheError as error:
            _log.warning("cannot say how much the cache may hold: %s", error)
            return _MIB
        reserved = eviction.reserved_bytes(usage, self._limits)
        self.admission.headroom = min(max(reserved // 2, _MIB), 16 * _MIB)
        return min(max(eviction.capacity(usage, self._limits) // 32, _MIB), 64 * _MIB)

    def _free_bytes(self) -> int:
        space = self._space()
        return space.f_bavail * space.f_frsize

    def _in_background(self) -> None:
        try:
            self.reclaim()
        except CacheError as error:
            if not self._is_short:
                _log.warning("cannot look after the cache's space: %s", error)
            self._is_short = True
