"""Fetching small files before they are opened: what `vfs.walks` predicts.

A file that is fetched is *held*, as by somebody who has it open: it is not evicted, and whoever
opens it finds all that opening needs, without a question to the cache. Small ones that are cached
are held for that alone. It is let go when its reader comes, or after a while in vain.

What may not change:

- All that is held is at most a small part of the cache. What does not fit is not fetched.
- Nothing is fetched while the cache's disk fails: what is fetched must be what is read.
- Readers go first, and their read-ahead (`Priority.SIBLING`). What was predicted wrongly and has
  not begun is never sent. What could not be fetched for a while is not held against its reader.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.fetch import scheduler
from ossfs_resume.fetch.disk import Disk
from ossfs_resume.fetch.download import Download
from ossfs_resume.fetch.in_flight import ClaimQueue
from ossfs_resume.fetch.open_downloads import OpenDownloads, version_of
from ossfs_resume.fetch.readahead import MIB
from ossfs_resume.fetch.scheduler import Priority
from ossfs_resume.fetch.settings import FetchSettings
from ossfs_resume.oss.models import ObjectMeta

log = logging.getLogger(__name__)

HELD_SECONDS = 10.0
"""How long a file waits for its reader."""

MOST_BYTES = 32 * MIB
ROOM_SHARE = 8
"""At most this part of a small cache."""


@dataclass(eq=False, slots=True)
class _Held:
    """A file that waits for its reader; ``download`` as soon as it is open."""

    size: int
    download: Download | None = None


class Siblings:
    """Files that are fetched before they are opened. ``close`` gives up a hold on a download."""

    def __init__(
        self,
        downloads: OpenDownloads,
        claims: ClaimQueue,
        disk: Disk,
        settings: FetchSettings,
        close: Callable[[Download], None],
    ) -> None:
        self._downloads = downloads
        self._claims = claims
        self._disk = disk
        self._settings = settings
        self._close = close
        self._limit = min(MOST_BYTES, settings.room_bytes / ROOM_SHARE) * settings.predicts
        self._held: dict[ObjectVersion, _Held] = {}
        self._bytes = 0
        self._nursery: trio.Nursery | None = None

    def __repr__(self) -> str:
        return f"<Siblings {len(self._held)} files, {self._bytes} bytes>"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Fetch until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def predict(self, metas: Sequence[ObjectMeta], *, is_whole: bool) -> None:
        """These will be opened soon, and read from the beginning or as a whole."""
        if self._nursery is None or self._disk.is_failing:
            return
        batch: dict[ObjectVersion, ObjectMeta] = {}
        for meta in metas:
            version = version_of(meta)
            is_open = self._downloads.find(meta) is not None
            if is_open or version in self._held or self._bytes + meta.size > self._limit:
                continue
            self._held[version] = _Held(meta.size)
            self._bytes += meta.size
            batch[version] = meta
        if batch:
            self._nursery.start_soon(self._fetch_and_wait, batch, is_whole)

    def give_up(self, metas: Sequence[ObjectMeta]) -> None:
        """These will not be opened, as it seems: what has begun may end."""
        for meta in metas:
            self._let_go(version_of(meta))

    def opened(self, download: Download) -> None:
        """Somebody has opened it, and holds it himself."""
        self._let_go(download.entry.version)

    async def _fetch_and_wait(self, batch: dict[ObjectVersion, ObjectMeta], is_whole: bool) -> None:
        try:
            await self._fetch(batch, is_whole)
            await trio.sleep(HELD_SECONDS)
        finally:
            for version in batch:
                self._let_go(version)

    async def _fetch(self, batch: dict[ObjectVersion, ObjectMeta], is_whole: bool) -> None:
        """Those of the batch that are not here and still wanted."""
        waiting = {version: self._held[version] for version in batch if version in self._held}
        metas = [batch[version] for version in waiting]
        downloads = await self._downloads.open_many(metas, self._disk)
        for (version, held), download in zip(waiting.items(), downloads, strict=True):
            if self._held.get(version) is not held:
                self._close(download)  # its reader was faster
                continue
            held.download = download
            self._claim(download, is_whole)

    def _claim(self, download: Download, is_whole: bool) -> None:
        entry = download.entry
        stop = entry.part_count if is_whole else 1
        step = scheduler.parts_in(self._settings.request_bytes, entry.geometry.part_size)
        if not download.failures and download.stale is None:
            self._claims.claim(download, entry.missing(0, stop), step, Priority.SIBLING)

    def _let_go(self, version: ObjectVersion) -> None:
        held = self._held.pop(version, None)
        if held is not None:
            self._bytes -= held.size
            if held.download is not None:
                self._close(held.download)
