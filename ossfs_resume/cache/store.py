"""The store: one folder of cached object versions, shared by threads and processes.

It puts the other modules together and holds the one lock among them that may wait for the disk:
``_opening`` keeps a version from being loaded while its row is being cleared (by eviction: while it
is *leaving*). An idle entry is closed by the commit or sync thread, when it has nothing left to do.
"""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from ossfs_resume.cache.ballast import Ballast
from ossfs_resume.cache.bitmap import PartBitmap
from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.committer import Committer
from ossfs_resume.cache.damaged import open_blobs, open_catalog
from ossfs_resume.cache.data_file import DataFile, DataFolder
from ossfs_resume.cache.entry import Entry
from ossfs_resume.cache.failure import is_full, may_pass, translated
from ossfs_resume.cache.folder import StoreFolder
from ossfs_resume.cache.freeing import Freeing
from ossfs_resume.cache.geometry import Geometry
from ossfs_resume.cache.keeper import Keeper
from ossfs_resume.cache.leftovers import Leftovers
from ossfs_resume.cache.loading import Loader
from ossfs_resume.cache.models import CacheSettings, EntrySummary, ObjectVersion, StoreStatistics
from ossfs_resume.cache.notes import Notes
from ossfs_resume.cache.part_locks import Claims
from ossfs_resume.cache.removal import Removal
from ossfs_resume.cache.renewal import Renewal
from ossfs_resume.cache.repairs import Repairs
from ossfs_resume.cache.sharing import LOOK_INTERVAL_S, Sharing
from ossfs_resume.cache.small_objects import Blobs
from ossfs_resume.cache.space import Reclaimer
from ossfs_resume.cache.storage import Storages
from ossfs_resume.cache.syncfs import FolderSync
from ossfs_resume.cache.table import EntryTable
from ossfs_resume.cache.threads import Watch
from ossfs_resume.cache.trust import Trust, Trusted
from ossfs_resume.cache.upkeep import Upkeep
from ossfs_resume.errors import CacheError

_log = logging.getLogger(__name__)


class CacheStore:
    """An open store. Methods may block unless they say otherwise, and raise CacheError."""

    def __init__(
        self,
        settings: CacheSettings,
        folder: StoreFolder,
        catalog: Catalog,
        blobs: Blobs,
        data_file: type[DataFile],
    ) -> None:
        self._folder = folder
        self._catalog = catalog
        self._blobs = blobs
        self._opening = threading.Condition()
        self._table = EntryTable()
        self._trust = Trust(self._table.opened, lambda versions: self.keeper.distrusted(versions))
        catalog.on_failing = blobs.on_failing = self._trust.end
        self._discarded = 0
        self.claims = Claims(lambda: folder.directory)
        """Which parts the processes that share the store are fetching."""
        self.notes = Notes(catalog)
        """What is kept beside objects."""
        self._disk = FolderSync(lambda: folder.directory, data_file.sync_all)
        self._committer = Committer(
            catalog,
            blobs,
            settings,
            settled=self._close_if_idle,
            discard=self._discard_or_log,
            sync_all=self._sync_all,
        )
        data = DataFolder(lambda: folder.data)
        self._leftovers = Leftovers(catalog, data, blobs)
        storages = Storages(blobs, partial(data_file, data))
        removal = Removal(catalog, self._table, storages, self._opening, self._close_if_idle)
        self._removal = removal
        self._reclaimer = Reclaimer(
            catalog,
            self._table,
            Freeing(catalog, self._table, removal, Ballast(lambda: folder.directory), self.commit),
            settings.limits,
            self.statvfs,
            self._spare_bytes,
        )
        self._loader = Loader(
            catalog,
            storages,
            settings.part_size,
            self._trust,
            self._announce,
            self._reclaimer.admission.room,
        )
        self.keeper = Keeper(catalog, self._reclaimer)
        """Space, pins and eviction on demand."""
        renewal = Renewal(
            folder,
            catalog,
            self._table,
            self._trust,
            self.claims,
            self._opening,
            self._begun_anew,
        )
        repairs = Repairs(catalog, self._table, self._trust, self.keeper.found_bad)
        self._upkeep = Upkeep(folder, catalog, blobs)
        self._watch = Watch(
            "cache-watch",
            (renewal.look, repairs.look, self._upkeep.look, self._reclaimer.look),
        )
        sharing = Sharing(folder, (catalog, blobs))
        self._sharing = Watch("cache-sharing", (sharing.look,), LOOK_INTERVAL_S)

    @classmethod
    def open(cls, settings: CacheSettings, *, data_file: type[DataFile] = DataFile) -> "CacheStore":
        """Open or create a store and start its background threads.

        Nothing is loaded, so this takes the same time for any number of entries. A catalogue that
        cannot be read is moved aside, with its data, unless another process is using it. A disk
        that is in trouble, or another process that does not let go of the catalogue, is no reason
        to fail: nothing can be had of the store until that is over, which is noticed.
        ``data_file`` is the type of data files, for those who want to see them fail.
        """
        folder = StoreFolder(settings.directory, settings.identity)
        catalog = Catalog(folder.catalog, lambda: bool(folder.other_owners()))
        blobs = Blobs(folder.blobs, lambda: bool(folder.other_owners()))
        try:
            with translated(f"open the cache in {settings.directory}"):
                _open(folder, catalog, blobs)
            store = cls(settings, folder, catalog, blobs, data_file)
        except CacheError as error:
            if not may_pass(error):
                blobs.close()
                catalog.close()
                folder.unregister_owner()
                raise
            _log.warning("%s; going on without the cache until it can be opened", error)
            store = cls(settings, folder, catalog, blobs, data_file)
        try:
            store._start()
        except BaseException:
            store.abandon()
            raise
        return store

    def _start(self) -> None:
        self._committer.start()
        self._leftovers.start()
        self._reclaimer.start()
        self._watch.start()
        self._sharing.start()

    def close(self) -> None:
        """Commit and sync everything, stop the threads, let go of the folder.

        Raises CacheError if progress could not be persisted; the store is closed nevertheless.
        """
        if self._stop():
            try:
                # What came until the disk was full is kept, and the ballast is no use any more.
                self._reclaimer.freeing.insist(self._committer.commit)
                self._committer.sync()
            finally:
                self._shut()

    def abandon(self) -> None:
        """Stop and let go of everything, committing nothing: what kill -9 would leave behind."""
        if self._stop():
            self._shut()

    def commit(self) -> None:
        """Commit now what was written before this call."""
        self._committer.commit()

    def sync(self) -> None:
        """Make safe from a power cut now what was written before this call."""
        self._committer.sync()

    def acquire(self, version: ObjectVersion) -> Entry:
        """The entry of ``version``, to be released; the same for all who hold it at a time."""
        (entry,) = self.acquire_many([version])
        return entry

    def acquire_many(self, versions: Sequence[ObjectVersion]) -> list[Entry]:
        """Those of different versions, all or none, with one question for all of them."""
        with self._opening:
            self._opening.wait_for(lambda: not any(map(self._removal.is_leaving, versions)))
            held = {one: entry for one in versions if (entry := self._table.hold(one)) is not None}
            try:
                for entry in self._loader.load([one for one in versions if one not in held]):
                    self._opened(entry)
                    held[entry.version] = entry
            except BaseException:
                for entry in held.values():
                    self.release(entry)
                raise
        entries = [held[version] for version in versions]
        for entry in entries:
            entry.progress.use()
        return entries

    def _opened(self, entry: Entry) -> None:
        self._table.add(entry)
        self._loader.trust_again(entry)
        self._committer.announce(entry, 0)
        self._committer.announce_unsynced(entry)

    def detached(self, version: ObjectVersion) -> Entry:
        """An entry that holds nothing and keeps nothing, for when ``acquire`` fails. Memory only.

        It may be released, or not.
        """
        return self._loader.detached(version)

    def release(self, entry: Entry) -> None:
        """Let go of an entry. Never blocks; the file is closed in the background."""
        entry.progress.use()
        if self._table.release(entry):
            self._committer.announce(entry, 0)
            self._reclaimer.released()

    def discard(self, entry: Entry) -> None:
        """Remove all data of an entry.

        The entry stays useless with those who hold it; they release it as usual. If the catalogue
        cannot be changed, CacheError is raised and the data stay, unchecked, for the next holder.
        """
        with self._opening:
            self._table.hide(entry)
            self._discarded += 1
            entry.discard()

    def give_away(self, entry: Entry, place: Path, prepare: Callable[[int], None]) -> None:
        """Let the file of a complete entry become ``place``, durably, with what ``prepare`` does to
        its descriptor before; the store has nothing of the object afterwards.

        For a store that no other process has open. Killed in the middle, it may claim parts of a
        file that is at ``place`` already: their check finds them absent.
        Raises CacheError, OSError.
        """
        with self._opening:
            entry.give_away(place, prepare)
            self._table.hide(entry)

    def state(self, version: ObjectVersion) -> EntrySummary | None:
        """What is present of ``version``; None if nothing ever was."""
        entry = self._table.find(version)
        if entry is not None:
            return entry.summary
        row = self._catalog.find(version)
        if row is None:
            return None
        return EntrySummary(
            version,
            row.part_size,
            Geometry(version.size, row.part_size).part_count,
            row.parts_present,
            row.bytes_present,
            row.is_verified,
        )

    def missing(self, version: ObjectVersion) -> list[range] | None:
        """The parts of ``version`` that are absent, in runs; None if nothing is known of it."""
        entry = self._table.find(version)
        if entry is not None:
            return entry.missing(0, entry.part_count)
        (found,) = self._catalog.load([version])
        if found is None:
            return None
        row, stored = found
        count = Geometry(version.size, row.part_size).part_count
        return PartBitmap.from_bytes(count, stored.written).missing(0, count)

    def cached_bytes(self, versions: Sequence[ObjectVersion]) -> list[int]:
        """How many bytes are present of each version; 0 for an unknown one."""
        stored = self._catalog.present_bytes(versions)
        if not len(self._table):
            return stored
        return [
            entry.progress.present_bytes if (entry := self._table.find(version)) else in_catalog
            for version, in_catalog in zip(versions, stored, strict=True)
        ]

    @property
    def changes(self) -> int:
        """Rises with every change of the catalogue by this process. Memory only."""
        return self._catalog.changes

    def open_bytes(self, version: ObjectVersion) -> int | None:
        """Bytes present of a version in use; None if it is not. Memory only."""
        entry = self._table.find(version)
        return None if entry is None else entry.progress.present_bytes

    def opened(self) -> dict[ObjectVersion, int]:
        """Bytes present of the versions in use. Memory only."""
        return {entry.version: entry.progress.present_bytes for entry in self._table.current()}

    def cached_below(self, prefix: str, limit: int) -> dict[ObjectVersion, int] | None:
        """Bytes present of all versions below a prefix (empty, or ending in ``/``); None if the
        catalogue has more than ``limit``."""
        entries = self._table.current()  # before the catalogue: they end up there
        present = self._catalog.present_below(prefix, limit)
        if present is not None:
            for entry in entries:
                if entry.version.key.startswith(prefix):
                    present[entry.version] = entry.progress.present_bytes
        return present

    def statvfs(self) -> os.statvfs_result:
        """The space on the cache's file system."""
        with translated("ask for the space in the cache directory"):
            return os.statvfs(self._folder.path)

    def _spare_bytes(self) -> int:
        return self._blobs.free_bytes() if self._blobs.is_open else 0

    def statistics(self) -> StoreStatistics:
        """Counters and state. Memory only."""
        entries = self._table.entries()
        return StoreStatistics(
            open_entries=len(entries),
            uncommitted_bytes=sum(entry.progress.uncommitted_bytes for entry in entries),
            unsynced_bytes=sum(entry.progress.unsynced_bytes for entry in entries),
            commits=self._committer.commit_count,
            syncs=self._committer.sync_count,
            discarded=self._discarded,
            allocated_bytes=self._reclaimer.allocated,
            evicted=self._reclaimer.freeing.evicted,
            evicted_bytes=self._reclaimer.freeing.evicted_bytes,
            error=self._committer.error,
        )

    def __repr__(self) -> str:
        return f"<CacheStore {self._folder.path} {len(self._table)} open entries>"

    def _announce(self, entry: Entry, written_bytes: int) -> None:
        self._committer.announce(entry, written_bytes)
        if written_bytes:
            self._reclaimer.wrote(written_bytes)

    def _sync_all(self) -> None:
        with self._trust.translated("sync the cache's disk"):
            self._disk.sync()

    def _begun_anew(self) -> None:
        with suppress(OSError, CacheError):  # then it is tried again
            self._upkeep.open()
        self._disk.reopen()
        self.notes.begun_anew()

    def _discard_or_log(self, entry: Entry) -> None:
        """What was written to the file of ``entry`` is lost, for whoever opened it since too."""
        current = self._table.find(entry.version)
        stands_on_it = current is not None and current.stock == entry.stock
        for one in {entry, current} if current is not None and stands_on_it else {entry}:
            try:
                self.discard(one)
            except CacheError as error:
                _log.warning("cannot discard %r: %s", entry.version.key, error)

    def _close_if_idle(self, entry: Entry) -> None:
        epoch = self._trust.memory.epoch
        if self._table.remove_if_idle(entry):
            if entry.generation:
                was_read = entry.progress.forget_copies()
                trusted = Trusted(entry.version, entry.progress.trusted(), entry.seen, was_read)
                self._trust.memory.remember(entry.generation.row_id, trusted, epoch)
            entry.close()

    def _stop(self) -> bool:
        """Stop the threads; False if that was done before."""
        is_first = self._table.close()
        if is_first:
            self._sharing.stop()
            self._watch.stop()
            self._reclaimer.stop()
            self._leftovers.stop()
            self._committer.stop()
        return is_first

    def _shut(self) -> None:
        try:
            for entry in self._table.entries():
                entry.close()
        finally:
            self._blobs.close()
            self._catalog.close()
            self.claims.close()
            self._folder.unregister_owner()


def _open(folder: StoreFolder, catalog: Catalog, blobs: Blobs) -> None:
    """Open a folder and its databases. Raises OSError, CacheError."""

    def attempt() -> None:
        with folder.opening():
            folder.register_owner()
            open_catalog(folder, catalog)
            try:
                open_blobs(folder, blobs)
            except (OSError, CacheError) as error:
                _log.warning("%s; going on without it until it can be opened", error)

    try:
        attempt()
    except (OSError, CacheError) as error:
        # On a disk without any room even this may need some, and without it nothing can be removed.
        if not is_full(error) or not Ballast(lambda: folder.directory).drop():
            raise
        folder.unregister_owner()
        attempt()
