"""Bytes of object versions for readers and jobs: from the cache, and what is missing fetched.

Here the parts are put together, started and stopped. What they do is told in their modules:

- `opening`: who holds which version;
- `reading`, `readiness`: a reader's bytes, and waiting until they may be read;
- `prefetch` (decisions in `readahead`): what a reader will need next;
- `siblings`: what will be opened next;
- `filling`: a whole object, in the background;
- `claiming` (decisions in `plan`): who fetches which part, in which order;
- `transfers` (decisions in `scheduler`): which requests run;
- `receiver`, `superseded`, `part_writer`: one request and its bytes;
- `disk`, `calls`, `loose`: the cache's disk, and memory in its stead;
- `proof`: the CRC-64 of a complete object;
- `neighbours`: other processes that share the cache.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import trio

from ossfs_resume.errors import OssfsError
from ossfs_resume.fetch.claiming import ClaimQueue
from ossfs_resume.fetch.disk import Disk
from ossfs_resume.fetch.download import Download
from ossfs_resume.fetch.filling import Filler
from ossfs_resume.fetch.loose import LooseParts
from ossfs_resume.fetch.neighbours import Neighbours, PartClaims
from ossfs_resume.fetch.opening import EntryStore, OpenDownloads
from ossfs_resume.fetch.prefetch import Prefetcher
from ossfs_resume.fetch.proof import Discarder, Prover
from ossfs_resume.fetch.readahead import AccessPattern
from ossfs_resume.fetch.readiness import Readiness
from ossfs_resume.fetch.reading import Data, PartReader
from ossfs_resume.fetch.settings import FetchSettings
from ossfs_resume.fetch.siblings import Siblings
from ossfs_resume.fetch.superseded import RangeSource, VersionReader
from ossfs_resume.fetch.transfers import TransferPool, TransferStatistics
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
    out to be wrong: whoever has copies (the kernel's pages) must drop them. ``width`` says how many
    requests at once the origin bears at this moment, ``superseded`` how to read on in a version
    that is not the current one any more. ``in_thread``: see `TransferPool`.
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
        in_thread: bool = False,
    ) -> None:
        # Reading whole objects again takes long and must not hold up readers.
        self._rereads = trio.CapacityLimiter(2)
        loose = LooseParts()
        self._downloads = OpenDownloads(store, loose, on_discarded)
        retire = self._downloads.retire
        self._disk = disk = Disk(retire)
        self._prover = Prover(store, disk, self._downloads.discarded)
        self._claims = ClaimQueue()
        self._pool = TransferPool(
            self._claims,
            lambda: VersionReader(source.open_reader(), superseded),
            disk,
            loose,
            self._prover.prove,
            Neighbours(store.claims, disk),
            settings,
            on_idle=retire,
            width=width,
            in_thread=in_thread,
        )
        self._readiness = Readiness(self._claims, self._pool, disk, loose, self._prover, settings)
        self._part_reader = PartReader(self._readiness, disk, loose)
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
            self._prefetcher.reads(download, pattern, offset, length, run_bytes)
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
        """Fetch all that is missing, behind everybody who reads. Raises like `read`.

        Cancelled, it ends the transfers that it asked for and that nobody else waits for.
        """
        await self._filler.fill(download)
        await self._prover.prove(download)

    async def verify(self, download: Download) -> int:
        """Read all that is cached again and compare it, a complete object with the origin's CRC-64
        too; how many parts were damaged and are absent now. Raises CorruptObject, CacheError."""
        entry = download.entry
        damaged = await trio.to_thread.run_sync(entry.recheck, limiter=self._rereads)
        download.proven = False
        await self._prover.prove(download)
        return len(damaged)
