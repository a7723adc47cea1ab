"""Removing whole entries that nobody uses, many in one transaction; and parts of those in use.

Nobody: an entry that this process holds is in the table, one that another process holds has its
file locked. A version that is on its way out is *leaving*; whoever wants to acquire it waits until
it is gone, and everybody else goes on. Rows are cleared durably before files are unlinked, which
are locked from before the one until after the other. What ``progress`` says of removals holds.

There is one exception. On a disk without any room the catalogue cannot say that a row is gone, and
what would give room is what cannot be removed. Then the files go first and give the room for it. A
crash in between leaves rows without files, and no byte that could be wrong: nobody else has such a
file open (it is locked), this process has forgotten the entry, and every other compares what it did
not write itself with its CRC-64 first, and finds nothing. The parts are absent then, as they are.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.entry import Entry
from ossfs_resume.cache.failure import translated
from ossfs_resume.cache.geometry import Geometry
from ossfs_resume.cache.models import EntryRecord, Generation, ObjectVersion
from ossfs_resume.cache.storage import Storage, Storages
from ossfs_resume.cache.table import EntryTable
from ossfs_resume.errors import CacheError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Victim:
    """A row that is locked for removal; ``entry`` is its idle entry in the table, if any."""

    record: EntryRecord
    generation: Generation
    file: Storage | None
    entry: Entry | None

    @classmethod
    def of(cls, record: EntryRecord, entry: Entry | None, storages: Storages) -> "_Victim":
        version, row = record.version, record.row
        generation = Generation(row.row_id, Geometry(version.size, row.part_size))
        file = storages.of_row(row.row_id, row.file_suffix, version.size) if entry is None else None
        return cls(record, generation, file, entry)

    def lock_alone(self) -> bool:
        """Whether no other process uses it."""
        try:
            if self.entry is not None:
                return self.entry.generation == self.generation and self.entry.lock_alone()
            return self.file is not None and self.file.lock_alone()
        except OSError:
            return False


class Removal:
    """Evicts rows. ``changed`` is the lock of those who open entries, and told of departures."""

    def __init__(
        self,
        catalog: Catalog,
        table: EntryTable,
        storages: Storages,
        changed: threading.Condition,
        close_if_idle: Callable[[Entry], None],
    ) -> None:
        self._catalog = catalog
        self._table = table
        self._storages = storages
        self._changed = changed
        self._close_if_idle = close_if_idle
        self._leaving: set[ObjectVersion] = set()

    def is_leaving(self, version: ObjectVersion) -> bool:
        """Whether it is being removed at this moment; ask with ``changed`` held."""
        return version in self._leaving

    def evict(
        self, records: Sequence[EntryRecord], *, files_first: bool = False
    ) -> list[EntryRecord]:
        """Remove those of the entries that nobody uses and that are not pinned; which were so.

        ``files_first`` is for a disk on which the catalogue has no room to say so: the files of
        those that are not pinned go first. Raises CacheError; what was not removed then is still
        there, with ``files_first`` perhaps as rows without a file.
        """
        taken = self._take(records)
        try:
            locked = [victim for victim in taken if victim.lock_alone()]
            if files_first:
                # What is freed in a database gives the disk no room.
                locked = [
                    victim
                    for victim in locked
                    if not (victim.record.is_pinned or victim.record.row.is_blob)
                ]
                self._unlink(locked, at_once=True)
            return self._remove(locked)
        finally:
            self._let_go(taken)

    def remove_parts(self, entry: Entry, size: int, keep: int, *, ahead: bool) -> int:
        """``Entry.remove_parts``; the entry is held, so that nobody closes the file under it."""
        if not self._table.hold_on(entry):
            return 0
        try:
            return entry.remove_parts(size, keep, ahead=ahead)
        finally:
            self._table.release(entry)
            self._close_if_idle(entry)

    def _take(self, records: Sequence[EntryRecord]) -> list[_Victim]:
        taken = []
        with self._changed:
            for record in records:
                version = record.version
                if not self._table.is_held(version) and version not in self._leaving:
                    # Held, so that nobody closes its file, which would give up the lock.
                    entry = self._table.hold(version)
                    taken.append(_Victim.of(record, entry, self._storages))
                    self._leaving.add(version)
        return taken

    def _remove(self, victims: Sequence[_Victim]) -> list[EntryRecord]:
        if not victims:
            return []
        with self._catalog.transaction(durable=True) as transaction:
            cleared = [victim for victim in victims if transaction.evict(victim.generation)]
        # After the commit, which may fail.
        self._unlink(cleared, at_once=False)
        return [victim.record for victim in cleared]

    def _unlink(self, victims: Sequence[_Victim], *, at_once: bool) -> None:
        """Remove the files; before anybody can acquire one again nobody believes in it."""
        for victim in victims:
            if victim.entry is not None:
                self._table.hide(victim.entry)
                victim.entry.progress.discard()
        self._delete([one.generation.row_id for one in victims if one.record.row.is_blob])
        for victim in (one for one in victims if not one.record.row.is_blob):
            with translated(f"remove the data of {victim.record.version.key!r}"):
                if victim.file is not None:
                    victim.file.unlink(at_once=at_once)
                elif victim.entry is not None:
                    victim.entry.unlink(at_once=at_once)

    def _delete(self, row_ids: Sequence[int]) -> None:
        """Small objects in one transaction; what stays behind is rubbish for ``leftovers``."""
        try:
            self._storages.blobs.delete(row_ids)
        except CacheError as error:
            _log.debug("cannot remove the bytes of %d small objects: %s", len(row_ids), error)

    def _let_go(self, victims: Sequence[_Victim]) -> None:
        with ExitStack() as stack:  # all of it, whatever a disk that fails says to any of them
            stack.callback(self._have_left, victims)
            for victim in victims:
                stack.callback(self._let_go_of, victim)

    def _let_go_of(self, victim: _Victim) -> None:
        if victim.file is not None:
            victim.file.close()
        elif victim.entry is not None:
            try:
                victim.entry.share()
            finally:
                self._table.release(victim.entry)
            self._close_if_idle(victim.entry)

    def _have_left(self, victims: Sequence[_Victim]) -> None:
        with self._changed:
            self._leaving.difference_update(victim.record.version for victim in victims)
            self._changed.notify_all()
