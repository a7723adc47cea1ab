"""Bytes of object versions for readers and jobs: from the cache, and what is missing fetched.

Here the parts of this package are put together, started and stopped; the package's own text tells
the life of a read. A job's `fill` is here too.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import trio

from ossfs_resume.errors import CacheError, CorruptObject, OssfsError
from ossfs_resume.fetch import scheduler
from ossfs_resume.fetch.disk import Disk
from ossfs_resume.fetch.download import Download, Transfer
from ossfs_resume.fetch.in_flight import ClaimQueue
from ossfs_resume.fetch.memory_parts import MemoryParts
from ossfs_resume.fetch.open_downloads import EntryStore, OpenDownloads
from ossfs_resume.fetch.other_processes import OtherProcesses, PartClaims
from ossfs_resume.fetch.prefetch import Prefetcher
from ossfs_resume.fetch.readahead import AccessPattern
from ossfs_resume.fetch.reader import Data, PartReader, Readiness
from ossfs_resume.fetch.receiver import RangeSource, VersionReader
from ossfs_resume.fetch.scheduler import Priority
from ossfs_resume.fetch.settings import FetchSettings
from ossfs_resume.fetch.siblings import Siblings
from ossfs_resume.fetch.transfers import TransferPool, TransferStatistics
from ossfs_resume.fetch.verification import Discarder, Prover
from ossfs_resume.oss.models import ObjectMeta

CONFIRM_SECONDS = 2.0


class PartStore(EntryStore, Discarder, Protocol):
    """What the engine needs of the cache."""

    @property
    def claims(self) -> PartClaims:
        """What other processes are fetching."""


class Engine:
    """Opens downloads and reads through them.

    ``on_discarded`` is called, from the event loop, with each version whose cached bytes turned
    out to be wrong: whoever has copies (the kernel's pages) must drop them;
    ``on_growing`` with each version of which more may be cached from now on. ``width`` says how
    many requests at once the origin bears at this moment, ``superseded`` how to read on in a
    version that is not the current one any more. ``in_thread``: see `TransferPool`.
    """

    def __init__(
        self,
        source: RangeSource,
        store: PartStore,
        settings: FetchSettings,
        on_discarded: Callable[[ObjectMeta], None] = lambda meta: None,
        width: Callable[[], float] = lambda: math.inf,
        superseded: Callable[[ObjectMeta], ObjectMeta | None] = lambda meta: None,
        *,
        on_growing: Callable[[ObjectMeta], None] = lambda meta: None,
        in_thread: bool = False,
    ) -> None:
        # Reading whole objects again takes long and must not hold up readers.
        self._rereads = trio.CapacityLimiter(2)
        memory = MemoryParts()
        self._downloads = OpenDownloads(store, memory, on_discarded, on_growing)
        retire = self._downloads.retire
        self._disk = disk = Disk(retire)
        self._prover = Prover(store, disk, self._downloads.discarded)
        self._claims = ClaimQueue()
        self._pool = TransferPool(
            self._claims,
            lambda: VersionReader(source.open_reader(), superseded),
            disk,
            memory,
            self._prover.prove,
            OtherProcesses(store.claims, disk),
            settings,
            on_idle=retire,
            width=width,
            in_thread=in_thread,
        )
        self._readiness = Readiness(self._claims, self._pool, disk, memory, self._prover, settings)
        self._part_reader = PartReader(self._readiness, disk, memory)
        self._prefetcher = Prefetcher(
            self._claims, self._readiness, disk, settings, lambda: len(self._downloads)
        )
        self._siblings = Siblings(self._downloads, self._claims, disk, settings, self.close)
        self._filler = Filler(self._claims, self._readiness, disk, settings)

    def __repr__(self) -> str:
        return f"<Engine downloads={len(self._downloads)} {self._pool!r}>"

    def statistics(self) -> TransferStatistics:
        """What is queued and running at this moment."""
        return self._pool.statistics()

    @property
    def cache_error(self) -> str:
        """Why the cache is gone without at this moment; empty while it is well."""
        return self._disk.error

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run transfers until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._disk.run)
            await nursery.start(self._siblings.run)
            await self._pool.run(task_status=task_status)

    def stop(self) -> None:
        """Whoever waits for data, now or later, gets `ShuttingDown`."""
        self._readiness.stop()
        self._downloads.wake()

    async def open(self, meta: ObjectMeta) -> Download:
        """Hold the download of one object version; each open needs one `close`.

        If the cache cannot give an entry, its bytes only pass through memory.
        """
        self._readiness.raise_if_stopping()
        download = await self._downloads.open(meta, self._disk)
        self._siblings.opened(download)
        return download

    def predict(self, metas: Sequence[ObjectMeta], *, is_whole: bool) -> None:
        """These small objects will be opened soon, and read from the beginning or as a whole."""
        self._siblings.predict(metas, is_whole=is_whole)

    def give_up(self, metas: Sequence[ObjectMeta]) -> None:
        """What was predicted will not be opened, as it seems."""
        self._siblings.give_up(metas)

    def close(self, download: Download) -> None:
        """Give up one hold; after the last, only running transfers finish."""
        download.holders -= 1
        if download.holders == 0:
            self._claims.drop(download)
            self._downloads.retire(download)

    def find(self, meta: ObjectMeta) -> Download | None:
        """The download of this version if somebody holds it."""
        return self._downloads.find(meta)

    def last_error(self, meta: ObjectMeta) -> OssfsError | None:
        """Why this version could not be read last; None once it is complete."""
        return self._downloads.last_error(meta)

    def read_at_once(
        self, download: Download, pattern: AccessPattern, offset: int, length: int
    ) -> Data | None:
        """Exactly the bytes ``[offset, offset + length)``, which must lie within the object, if
        they can be had without waiting for anything. What will be read next is fetched in any case.

        They are good until the caller's next await: they may lie in memory that is used again.
        """
        run_bytes = pattern.advance(offset, length)
        if not download.proven:
            parts = download.entry.geometry.parts(offset, length)
            is_here = download.entry.progress.trusts(parts.start, parts.stop)
            if run_bytes or not is_here:
                self._prefetcher.reads(
                    download, pattern, offset, length, run_bytes, is_here=is_here
                )
        return self._part_reader.read_at_once(download, offset, length)

    async def read(self, download: Download, offset: int, length: int) -> Data:
        """The bytes that `read_at_once` did not have, when they are there.

        Raises OriginError as the origin answered, NoProgress when the reader's time is up,
        CorruptObject, or ShuttingDown; never CacheError.
        """
        return await self._part_reader.read(download, offset, length)

    async def confirm(self, download: Download) -> None:
        """Ask the origin whether this version is still there, by fetching its first missing part.

        Raises ObjectChanged or NotFound. An origin that fails or takes over two seconds is no
        reason to refuse: the reads will tell.
        """
        missing = download.entry.missing(0, download.entry.part_count)
        if missing:
            first = missing[0].start
            transfer = self._claims.demand(download, range(first, first + 1), 1)
            transfer.waiters += 1
            self._pool.write_soon(transfer)
            try:
                with trio.move_on_after(CONFIRM_SECONDS):
                    await transfer.moved.wait()
            finally:
                transfer.waiters -= 1
        if error := download.stale or download.superseded:
            raise error.with_traceback(None)

    async def fill(self, download: Download) -> None:
        """Fetch all that is missing, behind everybody who reads, and prove it. Raises like `read`.

        Cancelled, it ends the transfers that it asked for and that nobody else waits for.
        """
        await self._filler.fill(download)
        await self._prover.prove(download)
        if isinstance(download.stale, CorruptObject):  # another one's proof may have discarded it
            raise download.stale.with_traceback(None)

    async def verify(self, download: Download) -> int:
        """Read all that is cached again and compare it, a complete object with the origin's CRC-64
        too; how many parts were damaged and are absent now. Raises CorruptObject, CacheError."""
        entry = download.entry
        damaged = await trio.to_thread.run_sync(entry.recheck, limiter=self._rereads)
        download.proven = False
        await self._prover.prove(download)
        return len(damaged)


class Filler:
    """Fetches the whole of objects in the background, behind everybody who reads.

    At most as many requests as may run at once are queued at a time: an object may have a million
    parts, and what lies in the queue can neither be dropped cheaply nor make room for another job.
    A disk that does not keep what arrives ends it: to fetch for nobody is worse than to fail.
    """

    def __init__(
        self, claims: ClaimQueue, readiness: Readiness, disk: Disk, settings: FetchSettings
    ) -> None:
        self._claims = claims
        self._readiness = readiness
        self._disk = disk
        self._settings = settings

    async def fill(self, download: Download) -> None:
        """Fetch all that is missing. Cancelled or failing, it ends the transfers that it asked for
        and that nobody else waits for."""
        mine: list[Transfer] = []
        try:
            await self._fill(download, mine)
        finally:
            self._claims.abandon(mine)

    async def _fill(self, download: Download, mine: list[Transfer]) -> None:
        entry = download.entry
        step = scheduler.parts_in(self._settings.request_bytes, entry.geometry.part_size)
        low, reach = 0, step * (self._settings.connections + 1)
        failures = self._disk.writing.failures
        if self._disk.writing.is_resting(trio.current_time()):
            raise CacheError(self._disk.error)
        while not entry.progress.is_complete:
            self._raise_if_hopeless(download, failures)
            # An object may have a million parts: look only at those that can be under way.
            missing = entry.missing(low, min(low + reach, entry.part_count))
            if not missing:
                low = low + reach if low + reach < entry.part_count else 0
                continue
            low = missing[0].start
            mine[:] = [transfer for transfer in mine if not transfer.done]
            free = max(self._settings.connections - len(mine), 1)
            mine += self._claims.claim(download, missing, step, Priority.BACKGROUND, at_most=free)
            await download.claims[low].moved.wait()

    def _raise_if_hopeless(self, download: Download, failures: int) -> None:
        """``failures`` is how many writes had failed when it began."""
        self._readiness.raise_if_hopeless(download, range(download.entry.part_count))
        if not download.entry.progress.is_open or self._disk.writing.failures != failures:
            raise CacheError(self._disk.error or "its cached data was discarded")
