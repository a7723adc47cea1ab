"""Exact bytes for a reader: from memory, from the cache's file, or once more from the origin.

What may not change:

- Exactly the bytes that were asked for, or an error; never fewer, never those of a hole.
- The cache's disk never causes a reader's error. What it has and does not give is fetched again,
  and read from memory.
- A part that somebody waits for stays in memory until it was read (`LooseParts.wanted`).
- What is neither trusted nor in the page cache, and everything while the disk is in trouble, is
  compared with its CRC-64 by the call that reads it. Damaged parts are fetched again; if they are
  damaged again at once, they are read from memory.
"""

import logging
from contextlib import suppress

import trio

from ossfs_resume.cache.entry import Absent, Damaged
from ossfs_resume.errors import CacheError
from ossfs_resume.fetch.calls import Hanging
from ossfs_resume.fetch.disk import Disk
from ossfs_resume.fetch.download import Download
from ossfs_resume.fetch.loose import LooseParts
from ossfs_resume.fetch.readiness import Readiness

log = logging.getLogger(__name__)

Data = bytes | memoryview
"""Bytes for a reader, good until its next await: they may lie in memory that is used again."""


class PartReader:
    """Reads parts of downloads, as soon as they are ready."""

    def __init__(self, readiness: Readiness, disk: Disk, loose: LooseParts) -> None:
        self._readiness = readiness
        self._disk = disk
        self._loose = loose

    def read_at_once(self, download: Download, offset: int, length: int) -> Data | None:
        """The bytes if they can be had without waiting for anything."""
        data = self._read_nowait(download, offset, length)
        return data if data is not None and self._readiness.may_serve(download) else None

    async def read(self, download: Download, offset: int, length: int) -> Data:
        """Read when the parts are there; if the disk does not give them, from the origin."""
        parts = download.entry.geometry.parts(offset, length)
        with self._loose.wanted(download, parts):
            try:
                return await self._read_kept(download, parts, offset, length)
            except Hanging as error:
                log.debug("%s: %s", download.meta.key, error)
            except CacheError:
                await self._disk.lose(download, parts)
                download.proven = download.proven and download.entry.progress.is_complete
            with self._loose.demanded(download, parts):
                await self._readiness.make_ready(download, parts, from_memory=True)
                return await self._gather(download, parts, offset, length)

    async def _read_kept(self, download: Download, parts: range, offset: int, length: int) -> Data:
        was_damaged = False
        while True:
            await self._readiness.make_ready(download, parts)
            try:
                return await self._gather(download, parts, offset, length)
            except Damaged as error:
                self._found_damaged(download, error)
                if was_damaged:
                    raise
                was_damaged = True
            except Absent:
                pass  # Eviction of parts does not wait for readers: those who were late read again.
            await trio.lowlevel.checkpoint()

    async def _gather(self, download: Download, parts: range, offset: int, length: int) -> Data:
        """The bytes of parts that are ready, each from memory if it is there. Raises CacheError."""
        if not any(self._loose.has(download, part) for part in parts):
            data = self._read_nowait(download, offset, length)
            return await self._disk.read(download, offset, length) if data is None else data
        pieces = []
        for part in parts:
            start, stop = download.entry.geometry.span(part)
            first, last = max(offset, start), min(offset + length, stop)
            data = self._loose.get(download, part)
            if data is None:
                pieces.append(await self._disk.read(download, first, last - first))
            else:
                pieces.append(data[first - start : last - start])
        return b"".join(pieces)

    def _read_nowait(self, download: Download, offset: int, length: int) -> Data | None:
        """Trusted bytes from the page cache; None: ask the disk."""
        if self._disk.is_failing:
            return None
        with suppress(CacheError):
            return download.entry.read_nowait(offset, length)
        return None

    @staticmethod
    def _found_damaged(download: Download, error: Damaged) -> None:
        download.proven = False
        for part in error.parts:
            key = download.meta.key
            log.warning("%s: cached part %d is damaged, fetching it again", key, part)
