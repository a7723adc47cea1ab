"""Carries what entries know into the catalogue, in the background.

Two threads. One commits new parts 0.2 seconds after they were written: a transaction without
waiting for the disk, so kill -9 costs little. The other makes data safe from a power cut: it waits
for the disk (``fdatasync``, without any lock that readers or writers need), then commits which
parts are synced with ``synchronous=FULL``. They are two because a slow disk may hold the second one
up for as long as it likes, and the first must not wait.

Small objects have their bytes committed with their rows: first those, in a database of their own
(``small_objects``), then the marks, before the catalogue's transaction ends.

Objects of one part are made safe together: their rows are committed, then the whole file system is
synced in one call (``syncfs``), the databases' logs with them, which lie beside the data. An
fdatasync for each would cost more than fetching them again, and a descriptor for each until then:
theirs are closed as soon as they are committed. No row says that they are synced, for nobody asks:
a part is compared at its first use either way. If the call fails, nobody can say whose bytes were
lost, so all of that pass are discarded.

In company a commit waits for the disk three times (``opening``), which took twice as long as the
bytes on a slow one. So it is made of twice as many, and less often: at most every fifth second is
spent on commits, and what ``kill -9`` may cost is still a second, or 48 MiB.

A change that could not be committed stays with its entry and is tried again an interval later.
When too much waits for the first thread (the second holds the catalogue's write lock while it waits
for the disk), so do those who write.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence

from ossfs_resume.cache.backlog import Backlog
from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.entry import Entry
from ossfs_resume.cache.failure import NoRoomToKeep
from ossfs_resume.cache.models import CacheSettings, EntryChanges, Generation
from ossfs_resume.cache.small_objects import Blobs
from ossfs_resume.cache.threads import DelayedWork
from ossfs_resume.cache.transaction import Transaction
from ossfs_resume.errors import CacheError, DiskFull
from ossfs_resume.shortages import log_failure, wants_files

_log = logging.getLogger(__name__)

EntryAction = Callable[[Entry], None]

_PATIENCE_S = 5.0
"""How long a commit may take before writers go on without it."""

_LONGEST_INTERVAL_S = 0.8
_IN_COMPANY = 2

SMALL_IN_A_COMMIT = 64
"""So many small objects are committed before the interval is over."""

_LOG_BYTES = 16 << 20
"""When the log of the small objects is that long, the next sync is due, which merges it."""

_Taken = tuple[Entry, Generation | None, EntryChanges]
"""An entry, what it stood on before, and what happened to it."""


class Committer:
    """Commits and syncs the entries that were announced.

    ``settled`` is called for every entry that was dealt with; ``discard`` for one whose data could
    not be synced. Neither is called with a lock held that they could want. ``sync_all`` waits for
    the disk with all data files on it; raises CacheError.
    """

    def __init__(
        self,
        catalog: Catalog,
        blobs: Blobs,
        settings: CacheSettings,
        *,
        settled: EntryAction,
        discard: EntryAction,
        sync_all: Callable[[], None],
    ) -> None:
        self._catalog = catalog
        self._settings = settings
        self._blobs = blobs
        self._least_amount = settings.commit_bytes // SMALL_IN_A_COMMIT
        self._sync_bytes = settings.sync_bytes
        self._settled = settled
        self._discard = discard
        self._sync_all = sync_all
        self._lock = threading.Lock()
        # Sets in the order of their making, so that the same changes make the same transactions.
        self._changed: dict[Entry, None] = {}
        self._unsynced: dict[Entry, None] = {}
        self._small: dict[Entry, None] = {}
        self._backlog = Backlog(limit=settings.commit_bytes, patience_s=_PATIENCE_S)
        self._commit_pass, self._sync_pass = threading.Lock(), threading.Lock()
        self._commits = DelayedWork(
            "cache-commit",
            lambda: self._in_background(self.commit),
            interval_s=settings.commit_interval_s,
            limit=settings.commit_bytes,
            longest_s=_LONGEST_INTERVAL_S,
        )
        self._set_pace()
        self._syncs = DelayedWork(
            "cache-sync",
            lambda: self._in_background(self.sync),
            interval_s=settings.sync_interval_s,
            limit=settings.sync_bytes,
        )
        self.commit_count = 0
        self.sync_count = 0
        self.error = ""

    def start(self) -> None:
        """Start both threads."""
        self._commits.start()
        self._syncs.start()

    def stop(self) -> None:
        """Stop both threads; commits and syncs nothing more, and nobody waits for it."""
        self._backlog.give_up()
        self._commits.stop()
        self._syncs.stop()

    def announce(self, entry: Entry, written_bytes: int) -> None:
        """``entry`` has changed. If bytes were written, waits while too many are not committed."""
        with self._lock:
            self._changed[entry] = None
            if written_bytes:
                (self._small if entry.part_count == 1 else self._unsynced)[entry] = None
            self._backlog.add(written_bytes)
        is_new_blob = written_bytes and entry.is_blob
        self._commits.notify(self._least_amount if is_new_blob else written_bytes)
        if written_bytes:
            self._syncs.notify(written_bytes)
            self._backlog.wait()

    def announce_unsynced(self, entry: Entry) -> None:
        """``entry`` came with parts that a former process has not synced. Never blocks."""
        if unsynced := entry.progress.unsynced_bytes:
            with self._lock:
                self._unsynced[entry] = None
            self._syncs.notify(unsynced)

    def commit(self) -> None:
        """Commit everything announced so far. Raises CacheError; nothing is lost then."""
        with self._commit_pass:
            with self._lock:
                entries, count = self._taken(self._changed), self._backlog.bytes
            try:
                self._commit_entries(entries, is_synced=False)
            except CacheError:
                self._backlog.give_up()
                self._again(entries, self._changed, self._commits)
                raise
            self._backlog.committed(count)
            self.commit_count += 1
            self._set_pace()
            if self._blobs.is_log_over(_LOG_BYTES):
                self._syncs.notify(self._sync_bytes)
        self._all_settled(entries)

    def sync(self) -> None:
        """Make everything announced so far safe from a power cut.

        Raises CacheError if the catalogue could not be told; nothing is lost then. An entry whose
        data could not be synced is discarded, with a warning; one whose file could not be opened
        for want of descriptors is synced later.
        """
        with self._sync_pass:
            with self._lock:
                entries = self._taken(self._unsynced)
            synced = [entry for entry in entries if self._sync_file(entry)]
            try:
                self._commit_entries(synced, is_synced=True)
            except CacheError:
                self._sync_ended(synced, is_committed=False)
                self._again(synced, self._unsynced, self._syncs)
                raise
            self._sync_ended(synced, is_committed=True)
            # Last, for it waits for what other programs have written as well.
            self._sync_small()
            self.sync_count += 1
            self._catalog.checkpoint_if_large()
            self._blobs.checkpoint_if_large()
        self._all_settled(entries)

    def _set_pace(self) -> None:
        limit = self._settings.commit_bytes * (1 if self._catalog.is_alone else _IN_COMPANY)
        self._commits.limit = limit
        # A commit begins when there are so many bytes, and while it runs there may be half again.
        self._backlog.limit = limit * 3 // 2

    def _commit_entries(self, entries: Iterable[Entry], *, is_synced: bool) -> None:
        present = [entry for entry in entries if entry.generation or entry.unstored]
        files = [entry for entry in present if not entry.is_blob]
        blobs = [entry for entry in present if entry.is_blob]
        if files:
            self._commit_group(files, is_synced=is_synced)
        if blobs:  # apart, and last: what is wrong with their database holds up nobody else
            try:
                self._commit_group(blobs, is_synced=is_synced)
            except DiskFull as error:
                raise NoRoomToKeep(str(error)) from error

    def _commit_group(self, entries: Sequence[Entry], *, is_synced: bool) -> None:
        taken: list[_Taken] = []
        try:
            with self._catalog.transaction(durable=is_synced) as transaction:
                superseded = [
                    entry
                    for entry in entries
                    if not _apply(transaction, entry, taken, is_synced=is_synced)
                ]
                stored = self._store_blobs(taken)
        except BaseException:
            for entry, former, changes in taken:
                entry.undo_commit(former, changes)
            raise
        for entry, data in stored:
            entry.stored(data)
        for entry in superseded:
            entry.progress.supersede()

    def _store_blobs(self, taken: Iterable[_Taken]) -> list[tuple[Entry, bytes]]:
        """Bytes first: their rows are committed when this returns, the marks are not."""
        unstored = [(entry, data) for entry, _, _ in taken if (data := entry.unstored) is not None]
        rows = [(entry.stock.row_id, data) for entry, data in unstored if entry.stock is not None]
        if rows:
            self._blobs.store(rows)
        return unstored

    def _sync_file(self, entry: Entry) -> bool:
        try:
            return entry.sync_file()
        except CacheError as error:
            if wants_files(error):  # the disk was not asked
                log_failure(_log, f"syncing {entry.version.key!r}", error)
                self._sync_ended([entry], is_committed=False)
                self._again([entry], self._unsynced, self._syncs)
                return False
            _log.warning("%s; its cached data are discarded", error)
            self._discard(entry)
            return False

    def _sync_small(self) -> None:
        """Make the objects of one part safe that were written so far. Raises CacheError."""
        with self._lock:
            entries = self._taken(self._small)
        if not entries:
            return
        try:
            self.commit()
        except CacheError:
            self._again(entries, self._small, self._syncs)
            raise
        try:
            self._sync_all()
        except CacheError as error:
            if wants_files(error):
                self._again(entries, self._small, self._syncs)
                raise
            _log.warning("%s; the last %d small objects are discarded", error, len(entries))
            for entry in entries:
                self._discard(entry)

    @staticmethod
    def _taken(entries: dict[Entry, None]) -> list[Entry]:
        taken = list(entries)
        entries.clear()
        return taken

    def _again(
        self, entries: Sequence[Entry], pending: dict[Entry, None], work: DelayedWork
    ) -> None:
        with self._lock:
            pending.update(dict.fromkeys(entries))
        work.notify(0)

    def _all_settled(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._settled(entry)

    @staticmethod
    def _sync_ended(entries: Iterable[Entry], *, is_committed: bool) -> None:
        for entry in entries:
            entry.progress.sync_ended(is_committed=is_committed)

    def _in_background(self, work: Callable[[], None]) -> None:
        """Do ``work``; log the first of a row of failures, and the recovery."""
        try:
            work()
        except CacheError as error:
            if not self.error:
                _log.warning("the cache cannot persist progress, it will try again: %s", error)
            self.error = str(error)
        else:
            if self.error:
                _log.info("the cache persists progress again")
            self.error = ""


def _apply(transaction: Transaction, entry: Entry, taken: list[_Taken], *, is_synced: bool) -> bool:
    """Put the changes of one entry into the transaction; False if it was superseded."""
    former = entry.stock
    generation = entry.begin_commit(transaction)
    if generation is None:
        return True
    changes = entry.take_changes(is_synced=is_synced)
    taken.append((entry, former, changes))
    if not transaction.apply(generation, changes):
        return False
    return not is_synced or transaction.mark_synced(generation, entry.progress.syncing())
