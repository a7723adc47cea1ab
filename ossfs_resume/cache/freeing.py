"""What is removed to make room, and that a removal succeeds on a disk without any room.

Whole entries that nobody uses, or parts of open objects; never anything that is pinned. A removal
is a change of the catalogue, which itself needs some room: the *ballast* is let go of for that, and
if it is not there, or not enough, files go before their rows (``removal``).
Whoever has copies of what is removed is told.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from ossfs_resume.cache import eviction
from ossfs_resume.cache.ballast import Ballast
from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.entry import Entry
from ossfs_resume.cache.eviction import Candidate, Need
from ossfs_resume.cache.failure import NoRoomToKeep, translated
from ossfs_resume.cache.models import EntryRecord, ObjectVersion
from ossfs_resume.cache.progress import LATEST_PARTS
from ossfs_resume.cache.removal import Removal
from ossfs_resume.cache.table import EntryTable
from ossfs_resume.errors import DiskFull

T = TypeVar("T")

_PAGE = 256
"""Entries in one transaction: a flush of the disk for each, and little to lose if it fails."""

RemovalListener = Callable[[Sequence[ObjectVersion]], None]
"""Told, from any thread, of versions."""


class Freeing:
    """Methods block and raise CacheError. What was removed so far is in ``evicted`` and
    ``evicted_bytes``."""

    def __init__(
        self,
        catalog: Catalog,
        table: EntryTable,
        removal: Removal,
        ballast: Ballast,
        commit: Callable[[], None],
    ) -> None:
        self._catalog = catalog
        self._commit = commit
        self._table = table
        self._removal = removal
        self._ballast = ballast
        self.listener: RemovalListener = lambda evicted: None
        self.evicted = 0
        self.evicted_bytes = 0

    def insist(self, action: Callable[[], T]) -> T:
        """Do what frees space, at the cost of the ballast if the disk has no room to say so."""
        try:
            return action()
        except DiskFull as error:
            if isinstance(error, NoRoomToKeep) or not self._ballast.drop():
                raise
            return action()

    def commit(self) -> None:
        """Bring the catalogue up to date, unless the disk has no room for that: what it does not
        know of can stay, and something has to go."""
        with suppress(DiskFull):
            self.insist(self._commit)

    def nothing_is_short(self) -> None:
        """There is room for the ballast again."""
        self._ballast.load()

    def require_ballast(self) -> None:
        """Nothing is kept before there is the room to remove it again. Raises CacheError."""
        with translated("reserve the room that a removal needs"):
            self._ballast.require()

    def evict(self, records: Sequence[EntryRecord]) -> list[EntryRecord]:
        """Remove those that nobody uses and that are not pinned; which were so."""
        try:
            evicted = self.insist(partial(self._removal.evict, records))
        except DiskFull:
            evicted = self._removal.evict(records, files_first=True)
        self.evicted += len(evicted)
        self.evicted_bytes += sum(record.allocated for record in evicted)
        if evicted:
            self.listener([one.version for one in evicted])
        return evicted

    def evict_idle(self, need: Need) -> Need:
        """Remove whole entries that nobody uses, as `eviction` orders them; what is left."""
        pages = self._pages()
        while need and (page := next(pages, None)):
            for record in self.evict(self._choose(page, need)):
                need = need.less(record.allocated, 1)
        return need

    def remove_parts(
        self, need: Need, capacity: int, *, larger_than: int, ahead: bool = False
    ) -> Need:
        """Remove parts of open objects of more than ``larger_than`` bytes; what is still needed."""
        entries = [
            one
            for one in self._table.entries()
            if one.version.size > larger_than and self._table.is_held(one.version)
        ]
        for entry in sorted(entries, key=_present_bytes, reverse=True):
            if need.size <= 0:
                break
            if self._catalog.pinned([entry.version.key]) == [True]:
                continue
            keep = min(max(capacity // 8 // entry.geometry.part_size, 2), LATEST_PARTS)
            removed = self.insist(
                partial(self._removal.remove_parts, entry, need.size, keep, ahead=ahead)
            )
            self.evicted_bytes += removed
            need = need.less(removed, 0)
        return need

    def _pages(self) -> Iterator[list[EntryRecord]]:
        last = None
        while page := self._catalog.evictable(last, _PAGE):
            yield page
            last = page[-1]

    def _choose(self, page: Sequence[EntryRecord], need: Need) -> list[EntryRecord]:
        by_id = {record.row.row_id: record for record in page}
        candidates = [
            Candidate(
                record.row.row_id,
                record.rank,
                record.last_used,
                record.allocated,
                record.is_pinned,
                self._table.is_held(record.version),
            )
            for record in page
        ]
        return [by_id[victim.row_id] for victim in eviction.victims(candidates, need)]


def _present_bytes(entry: Entry) -> int:
    return entry.progress.present_bytes
