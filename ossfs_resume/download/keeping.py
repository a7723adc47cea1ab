"""A large object: kept part by part in a store beside its target until it is complete.

What an earlier run left there is compared with its checksums before it counts. When the object is
complete and proven, the store's data file becomes the target; where what arrives is kept on another
file system, a copy of it does.
"""

import errno
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import trio

from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.download.mount_cache import MountCache
from ossfs_resume.download.new_file import NewFile
from ossfs_resume.download.part_folder import PartFolder
from ossfs_resume.download.report import Report
from ossfs_resume.download.shelf import Shelf
from ossfs_resume.download.small_files import failed
from ossfs_resume.download.target import Target, sync_folder
from ossfs_resume.errors import CacheError
from ossfs_resume.fetch.download import Download
from ossfs_resume.fetch.engine import Engine
from ossfs_resume.fetch.open_downloads import version_of
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.quantities import format_size
from ossfs_resume.wording import quoted

log = logging.getLogger(__name__)

_COPY_BYTES = 8 << 20
_CHECK_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Keeping:
    """Fetches into the stores of a shelf."""

    engine: Engine
    shelf: Shelf
    report: Report
    part_size: int
    cache: MountCache

    async def fetch(self, meta: ObjectMeta, target: Target, folder: PartFolder) -> int:
        """Have it in the folder, and then as the target; how many bytes were there before.

        Raises OssfsError; what has arrived stays for the next run.
        """
        async with self._store(meta, folder) as store:
            download = await self.engine.open(meta)
            try:
                resumed = await self._resumed(download)
                self.report.running[download] = partial(_present_bytes, download)
                resumed += await self._copy(download)
                await self.engine.fill(download)
                if download.stale is not None:  # found by a proof that this one came too late for
                    raise download.stale
                await trio.to_thread.run_sync(_give_away, store, download, target)
            finally:
                self.report.running.pop(download, None)
                self.engine.close(download)
        await trio.to_thread.run_sync(folder.remove)
        return resumed

    async def _copy(self, download: Download) -> int:
        """Bytes that a mount has of it, and this run had not."""
        meta, entry = download.meta, download.entry
        if not self.cache.is_open or entry.progress.is_complete:
            return 0
        copied = await trio.to_thread.run_sync(self.cache.copy, meta, entry)
        self.report.resumed += copied
        if copied:
            self.report.say(f"{quoted(meta.key)}: {format_size(copied)} are copied from the cache")
        return copied

    @asynccontextmanager
    async def _store(self, meta: ObjectMeta, folder: PartFolder) -> AsyncIterator[CacheStore]:
        version = version_of(meta)
        async with self.shelf.reserved(version):
            store = await trio.to_thread.run_sync(self._opened, version, folder)
            try:
                async with self.shelf.holding(version, store):
                    yield store
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(_close, store)

    def _opened(self, version: ObjectVersion, folder: PartFolder) -> CacheStore:
        """The folder's store, without what is in it of other versions, which nobody needs."""
        store = folder.open_store(self.part_size)
        try:
            others = [one.version for one in store.keeper.records() if one.version != version]
            if any(other.key == version.key for other in others):
                self._say(f"{quoted(version.key)} has changed in the bucket: starting over")
            for other in others:
                store.keeper.evict(other)
        except BaseException:
            _close(store)
            raise
        return store

    def _say(self, line: str) -> None:
        trio.from_thread.run_sync(self.report.say, line)

    async def _resumed(self, download: Download) -> int:
        """How many bytes an earlier run has brought that can be trusted."""
        entry, key = download.entry, quoted(download.meta.key)
        if not entry.progress.is_open:
            raise CacheError(self.engine.cache_error or "what arrives cannot be kept")
        if not entry.progress.present_count:
            return 0
        # A little at a time: there may be hours of it, and it may be cancelled.
        step = max(_CHECK_BYTES // entry.geometry.part_size, 1)
        for first in range(0, entry.part_count, step):
            stop = min(first + step, entry.part_count)
            damaged = await trio.to_thread.run_sync(entry.check, first, stop)
            if damaged:
                log.debug("%s: parts %s were damaged", key, damaged)
        resumed = entry.progress.present_bytes
        self.report.resumed += resumed
        if resumed:
            whole = format_size(download.meta.size)
            self.report.say(f"{key}: {format_size(resumed)} of {whole} are here already")
        return resumed


def _present_bytes(download: Download) -> int:
    return download.entry.progress.present_bytes


def _close(store: CacheStore) -> None:
    """Why the last progress could not be kept is told by what failed before."""
    try:
        store.close()
    except CacheError as error:
        log.debug("%s", error)


def _give_away(store: CacheStore, download: Download, target: Target) -> None:
    """Let the complete object be the target. Raises TargetError, CacheError."""
    dress = partial(target.dress, meta=download.meta, is_private=True)
    try:
        try:
            store.give_away(download.entry, target.path, dress)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(download, target)
        sync_folder(target.path.parent)
    except OSError as error:
        raise failed(target, error) from error


def _copy(download: Download, target: Target) -> None:
    entry, size = download.entry, download.meta.size
    file = NewFile(target)
    try:
        chunks = (
            entry.read(start, min(_COPY_BYTES, size - start))
            for start in range(0, size, _COPY_BYTES)
        )
        file.write(chunks, target, download.meta)
        os.fsync(file.descriptor)
        file.publish()
    finally:
        file.close()
