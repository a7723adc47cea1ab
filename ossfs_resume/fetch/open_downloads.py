"""Who holds which object version: downloads are opened here, shared, and forgotten after the last.

All who open a version at a time share one `Download`, so that each part is fetched once. It stays
while somebody holds it, and while anything is still under way for it: a transfer, or a thread that
the disk does not let go. Only then is the entry given back to the cache. An entry that was thrown
away under its holders (by a failed proof, or by another process) is left to those who have it; the
next one to open the version gets a fresh one.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from ossfs_resume.cache.entry import Entry
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.errors import CacheError, OssfsError
from ossfs_resume.fetch.disk import Disk
from ossfs_resume.fetch.download import Download
from ossfs_resume.fetch.memory_parts import MemoryParts
from ossfs_resume.fetch.recent_errors import LastErrors
from ossfs_resume.oss.models import ObjectMeta


class EntryStore(Protocol):
    """What opening needs of the cache; `acquire_many` blocks and raises CacheError."""

    def acquire_many(self, versions: Sequence[ObjectVersion]) -> list[Entry]:
        """The entries of different versions, shared by all who hold them; all or none."""

    def detached(self, version: ObjectVersion) -> Entry:
        """An entry that keeps nothing, for when `acquire_many` fails."""

    def release(self, entry: Entry) -> None:
        """Give up one hold."""


def version_of(meta: ObjectMeta) -> ObjectVersion:
    """The cache's name for what the origin described."""
    return ObjectVersion(meta.key, meta.etag, meta.size)


class OpenDownloads:
    """The downloads of a mount, by version.

    ``on_discarded`` is called with each version whose cached bytes turned out to be wrong,
    ``on_growing`` with each that somebody begins to hold before all of it is cached.
    """

    def __init__(
        self,
        store: EntryStore,
        memory: MemoryParts,
        on_discarded: Callable[[ObjectMeta], None],
        on_growing: Callable[[ObjectMeta], None],
    ) -> None:
        self._store = store
        self._memory = memory
        self._on_discarded = on_discarded
        self._on_growing = on_growing
        self._downloads: dict[ObjectVersion, Download] = {}
        # Also those that were replaced or discarded, while somebody still reads from them.
        self._alive: set[Download] = set()
        self._last_errors = LastErrors[ObjectVersion]()

    def __len__(self) -> int:
        return len(self._downloads)

    def __repr__(self) -> str:
        return f"<OpenDownloads {len(self)}>"

    async def open(self, meta: ObjectMeta, disk: Disk) -> Download:
        """Hold the download of one object version.

        If the cache cannot give an entry, its bytes only pass through memory.
        """
        (download,) = await self.open_many([meta], disk)
        return download

    async def open_many(self, metas: Sequence[ObjectMeta], disk: Disk) -> list[Download]:
        """The same of different ones, with one question to the cache for all of them."""
        new = {version_of(meta): meta for meta in metas}
        for version in [one for one in new if self._usable(one) is not None]:
            del new[version]
        if new:
            for version, entry in zip(new, await self._acquire(list(new), disk), strict=True):
                if self._usable(version) is not None:
                    self._store.release(entry)
                else:
                    self._add(Download(new[version], entry, proven=entry.progress.is_verified))
        return [self._held(meta) for meta in metas]

    def _held(self, meta: ObjectMeta) -> Download:
        download = self._downloads[version_of(meta)]
        if meta.crc64 is not None:
            download.entry.expect_crc64(meta.crc64)
        download.holders += 1
        return download

    def retire(self, download: Download) -> None:
        """Give the entry back if nobody holds the download and nothing is under way for it."""
        if download.holders or download.running:
            return
        self._forget(download)
        self._alive.discard(download)
        self._memory.drop(download)
        self._store.release(download.entry)

    def discarded(self, download: Download) -> None:
        """Its cached bytes were wrong: whoever opens the version next starts afresh."""
        self._forget(download)
        self._on_discarded(download.meta)

    def find(self, meta: ObjectMeta) -> Download | None:
        """The download of this version if somebody holds it."""
        return self._downloads.get(version_of(meta))

    def last_error(self, meta: ObjectMeta) -> OssfsError | None:
        """Why this version could not be read last; None once it is complete."""
        download = self.find(meta)
        if download is not None and download.last_error is not None:
            return None if download.entry.progress.is_complete else download.last_error
        return self._last_errors.of(version_of(meta))

    def wake(self) -> None:
        """Let whoever waits for a transfer look again."""
        for download in self._alive:
            for transfer in set(download.claims.values()):
                transfer.wake()

    async def _acquire(self, versions: Sequence[ObjectVersion], disk: Disk) -> Sequence[Entry]:
        try:
            return await disk.open(partial(self._store.acquire_many, versions), self._release)
        except CacheError:
            return [self._store.detached(version) for version in versions]

    def _release(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._store.release(entry)

    def _add(self, download: Download) -> None:
        self._downloads[version_of(download.meta)] = download
        self._alive.add(download)
        if not download.entry.progress.is_complete:
            self._on_growing(download.meta)

    def _usable(self, version: ObjectVersion) -> Download | None:
        """The download of a version, unless its entry was thrown away under it."""
        download = self._downloads.get(version)
        return download if download is not None and download.entry.progress.is_open else None

    def _forget(self, download: Download) -> None:
        version = version_of(download.meta)
        if self._downloads.get(version) is download:
            del self._downloads[version]
        if download.last_error is not None or download.entry.progress.is_complete:
            is_well = download.entry.progress.is_complete and download.stale is None
            self._last_errors.keep(version, None if is_well else download.last_error)
