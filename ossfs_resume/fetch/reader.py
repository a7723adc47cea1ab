"""Exact bytes for a reader: made ready (present, and a complete object proven), then read.

A reader never talks to a transfer. It says which parts it needs, waits for the transfer that claims
the first missing one to move, and looks at the bitmap again. So a transfer may fail, be split or be
finished by somebody else without a reader's noticing. Then its bytes come from memory, from the
cache's file, or once more from the origin.

What may not change:

- Exactly the bytes that were asked for, or an error; never fewer, never those of a hole.
- Each reader has a deadline that counts time *without progress*: bytes arriving for its own
  transfer or, while that is queued, for any ahead of it. Time that we take ourselves, to write or
  to keep to a bandwidth, is not the origin's silence.
- What failed a moment ago, or for good, is said at once, to all who need it, without asking again.
- Nothing of a complete object is ready before its CRC-64 was compared with the origin's.
- The cache's disk never causes a reader's error. What it has and does not give is fetched again,
  and read from memory.
- A part that somebody waits for stays in memory until it was read (`MemoryParts.wanted`).
- What is neither trusted nor in the page cache, and everything while the disk is failing, is
  compared with its CRC-64 by the call that reads it. Damaged parts are fetched again; if they are
  damaged again at once, they are read from memory.
"""

import logging
import math
from contextlib import suppress

import trio

from ossfs_resume.cache.entry import Absent, Damaged
from ossfs_resume.errors import CacheError, CorruptObject, NoProgress, OssfsError, ShuttingDown
from ossfs_resume.fetch import scheduler
from ossfs_resume.fetch.disk import Disk
from ossfs_resume.fetch.download import Download, Transfer
from ossfs_resume.fetch.in_flight import ClaimQueue
from ossfs_resume.fetch.memory_parts import MemoryParts
from ossfs_resume.fetch.settings import FetchSettings
from ossfs_resume.fetch.thread_calls import Hanging
from ossfs_resume.fetch.transfers import TransferPool
from ossfs_resume.fetch.verification import Prover

log = logging.getLogger(__name__)


class Readiness:
    """Says whether parts are ready, makes them so, or says why they cannot be."""

    def __init__(
        self,
        claims: ClaimQueue,
        pool: TransferPool,
        disk: Disk,
        memory: MemoryParts,
        prover: Prover,
        settings: FetchSettings,
    ) -> None:
        self._claims = claims
        self._pool = pool
        self._disk = disk
        self._memory = memory
        self._prover = prover
        self._settings = settings
        self._stopping = False

    def __repr__(self) -> str:
        return f"<Readiness {'stopping' if self._stopping else 'serving'}>"

    def stop(self) -> None:
        """Nothing becomes ready from now on."""
        self._stopping = True

    def raise_if_stopping(self) -> None:
        """Raises ShuttingDown."""
        if self._stopping:
            raise ShuttingDown("the file system is being unmounted")

    def raise_if_hopeless(
        self, download: Download, parts: range, *, from_memory: bool = False
    ) -> None:
        """Raises why ``parts`` cannot be had, if that is known already."""
        self.raise_if_stopping()
        if not download.failures and download.stale is None:
            return
        error: OssfsError | None = download.failures.of(parts, trio.current_time())
        if download.stale is not None:
            error = download.stale
        is_needed = from_memory or self.missing(download, parts)
        if error is not None and (is_needed or isinstance(error, CorruptObject)):
            # One exception for many reads: each starts a traceback of its own.
            raise error.with_traceback(None)

    def may_serve(self, download: Download) -> bool:
        """Whether what was found to be here may be read.

        To be asked afterwards: parts are marked in another thread, and the last of them makes an
        object complete that nobody has proven yet.
        """
        return (
            (download.proven or not download.entry.progress.is_complete)
            and not self._stopping
            and not isinstance(download.stale, CorruptObject)
        )

    def missing(self, download: Download, parts: range) -> list[range]:
        """Runs of parts that are neither in the cache nor in memory."""
        missing = download.entry.missing(parts.start, parts.stop)
        if missing and self._memory:
            return [run for lost in missing for run in self._memory.absent(download, lost)]
        return missing

    async def make_ready(
        self, download: Download, parts: range, *, from_memory: bool = False
    ) -> None:
        """Return when all ``parts`` are ready.

        ``from_memory`` is for parts that the disk has and does not give.
        """
        since = trio.current_time()
        wanted = self._memory.absent if from_memory else self.missing
        while True:
            missing = wanted(download, parts)
            if not from_memory and not missing and self.may_serve(download):
                return
            if isinstance(download.stale, CorruptObject):
                await self._prover.prove(download)  # whoever is told of bad data finds them gone
            self.raise_if_hopeless(download, parts, from_memory=from_memory)
            if missing:
                await self._wait(self._demand(download, missing)[0], parts, since)
            elif from_memory:
                return
            else:
                await self._prover.prove(download)

    def _demand(self, download: Download, missing: list[range]) -> list[Transfer]:
        step = scheduler.parts_in(self._settings.request_bytes, download.entry.geometry.part_size)
        return [self._claims.demand(download, run, step) for run in missing]

    async def _wait(self, transfer: Transfer, parts: range, since: float) -> None:
        """Wait until ``transfer`` moved. Raises NoProgress."""
        moved, timeout = transfer.moved, self._settings.timeout_s or math.inf
        transfer.waiters += 1
        self._pool.write_soon(transfer)
        try:
            while not moved.is_set():
                deadline = max(since, self._pool.last_progress(transfer)) + timeout
                if deadline <= trio.current_time():
                    raise self._give_up(transfer.download, parts)
                with trio.move_on_at(deadline):
                    await moved.wait()
        finally:
            transfer.waiters -= 1

    def _give_up(self, download: Download, parts: range) -> NoProgress:
        key, seconds = download.meta.key, self._settings.timeout_s
        error = NoProgress(f"{key}: no data arrived for {seconds:g} seconds")
        # A network that is gone fails one range after the other; one line a file says so.
        level = logging.DEBUG if download.failures else logging.WARNING
        download.failed(parts, error, trio.current_time())
        log.log(level, "%s", error, extra={"key": key})
        return error


Data = bytes | memoryview
"""Bytes for a reader, good until its next await: they may lie in memory that is used again."""


class PartReader:
    """Reads parts of downloads, as soon as they are ready."""

    def __init__(self, readiness: Readiness, disk: Disk, memory: MemoryParts) -> None:
        self._readiness = readiness
        self._disk = disk
        self._memory = memory

    def read_at_once(self, download: Download, offset: int, length: int) -> Data | None:
        """The bytes if they can be had without waiting for anything."""
        if download.claims and not download.claims.keys().isdisjoint(
            download.entry.geometry.parts(offset, length)
        ):
            return None
        data = self._read_nowait(download, offset, length)
        return data if data is not None and self._readiness.may_serve(download) else None

    async def read(self, download: Download, offset: int, length: int) -> Data:
        """Read when the parts are there; if the disk does not give them, from the origin."""
        parts = download.entry.geometry.parts(offset, length)
        with self._memory.wanted(download, parts):
            try:
                return await self._read_kept(download, parts, offset, length)
            except Hanging as error:
                log.debug("%s: %s", download.meta.key, error)
            except CacheError:
                await self._disk.lose(download, parts)
                download.proven = download.proven and download.entry.progress.is_complete
            with self._memory.demanded(download, parts):
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
        if not any(self._memory.has(download, part) for part in parts):
            data = self._read_nowait(download, offset, length)
            return await self._disk.read(download, offset, length) if data is None else data
        pieces = []
        for part in parts:
            start, stop = download.entry.geometry.span(part)
            first, last = max(offset, start), min(offset + length, stop)
            data = self._memory.get(download, part)
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
