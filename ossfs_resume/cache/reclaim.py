"""Keeps the cache within its limits, in a thread of its own.

A pass compares what the data files take (``total`` of the catalogue and what is not committed yet)
and what is free on the disk with the limits. What is too much goes in this order: parts that were
read of open objects that are larger than the whole cache, which would otherwise push out everything
else; whole entries that nobody uses, as ``eviction`` orders them; parts that were read of any open
object. So an object larger than the cache streams through it. Writers who would pass a limit make
room themselves (``admission``). Here is said when and how much; ``freeing`` does it.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ossfs_resume.cache import eviction
from ossfs_resume.cache.admission import Account, Admission
from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.delayed import DelayedWork
from ossfs_resume.cache.eviction import Limits, Need, Usage
from ossfs_resume.cache.freeing import Freeing
from ossfs_resume.cache.table import EntryTable
from ossfs_resume.errors import CacheError

_log = logging.getLogger(__name__)

_MIB = 1 << 20
_INTERVAL_S = 0.5
_PATIENCE_S = 2.0
"""How long a writer, and so a reader, waits for others who are making room."""


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
        self._passing, self._counting = threading.Lock(), threading.Lock()
        self._wanted = self._passes = 0
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
        """Make room for so many bytes, and what others wait for; False if nothing can be removed.

        Raises CacheError, also if others have been at it for too long.
        """
        passes = self._passes
        with self._wanting(size):
            if not self._passing.acquire(timeout=_PATIENCE_S):
                raise CacheError("room is made too slowly")
            try:
                # Whoever had the lock before has made room for all: try again.
                return self._passes != passes or self._make_room(is_urgent)
            finally:
                self._passing.release()

    @contextmanager
    def _wanting(self, size: int) -> Iterator[None]:
        with self._counting:
            self._wanted += size
        try:
            yield
        finally:
            with self._counting:
                self._wanted -= size

    def _make_room(self, is_urgent: bool) -> bool:
        if not self._shortage(self.usage()):
            return True
        self.freeing.commit()
        usage = self.usage()
        need = self._shortage(usage)
        is_made = not need or self._free(need, usage) != need
        if not is_made and is_urgent:
            is_made = self.freeing.remove_parts(need, 0, larger_than=0, ahead=True) != need
        if is_made:
            self.usage()
            self._passes += 1
        return is_made

    def _shortage(self, usage: Usage) -> Need:
        """What all who wait need."""
        size = self._wanted + self.admission.account.in_flight
        return eviction.shortage(usage, self._limits, self.admission.headroom, size)

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
