"""Bytes of object versions for readers and jobs: from the cache, and what is missing fetched.

A reader never talks to a transfer. It says which parts it needs, waits for the transfer that
claims the first missing one to move, and looks at the bitmap again. So a transfer may fail, be
split or be finished by somebody else without a reader's noticing.

Each reader has a deadline that counts time *without progress*: bytes arriving for its own transfer
or, while that is queued, for any ahead of it.
"""

import logging
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import trio

from ossfs_resume.cache.entry import Absent, Entry
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.errors import CacheError, CorruptObject, NoProgress, OssfsError, ShuttingDown
from ossfs_resume.fetch import readahead
from ossfs_resume.fetch.disk import Disk, Hanging
from ossfs_resume.fetch.download import Download, Failure, Transfer
from ossfs_resume.fetch.last_errors import LastErrors
from ossfs_resume.fetch.loose import LooseParts
from ossfs_resume.fetch.neighbours import Neighbours, PartClaims
from ossfs_resume.fetch.proof import Prover
from ossfs_resume.fetch.readahead import KIB, MIB, AccessPattern
from ossfs_resume.fetch.scheduler import Priority
from ossfs_resume.fetch.transfers import (
    REMEMBERED_SECONDS,
    RangeReader,
    TransferPool,
    TransferSettings,
    TransferStatistics,
)
from ossfs_resume.oss.models import ObjectMeta

log = logging.getLogger(__name__)

CONFIRM_SECONDS = 2.0

ILL_READ_AHEAD_BYTES = 4 * MIB
"""While the disk is ill, read-ahead lives in memory: what is fetched must be what is read."""


class PartStore(Protocol):
    """What the engine needs of the cache; `acquire` and `discard` block, both raise CacheError."""

    @property
    def claims(self) -> PartClaims:
        """What other processes are fetching."""

    def acquire(self, version: ObjectVersion) -> Entry:
        """The entry of a version, shared by all who hold it."""

    def detached(self, version: ObjectVersion) -> Entry:
        """An entry that keeps nothing, for when `acquire` fails."""

    def release(self, entry: Entry) -> None:
        """Give up one hold."""

    def discard(self, entry: Entry) -> None:
        """Forget everything that is cached of this version."""


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """``timeout_s`` is the time a reader waits without progress; 0 waits for the network.
    ``bandwidth`` and ``background_bandwidth`` are bytes per second, 0 without limit."""

    timeout_s: float = 60.0
    connections: int = 32
    part_bytes: int = 256 * KIB
    request_bytes: int = 8 * MIB
    read_ahead_bytes: int = 128 * MIB
    bandwidth: float = 0
    background_bandwidth: float = 0


def version_of(meta: ObjectMeta) -> ObjectVersion:
    """The cache's name for what the origin described."""
    return ObjectVersion(meta.key, meta.etag, meta.size)


class Engine:
    """Opens downloads and reads through them.

    ``on_discarded`` is called, from the event loop, with each version whose cached bytes turned
    out to be wrong: whoever has copies (the kernel's pages) must drop them. ``width`` says how many
    requests at once the origin bears at this moment, ``superseded`` how to read on in a version
    that is not the current one any more.
    """

    def __init__(
        self,
        reader: RangeReader,
        store: PartStore,
        settings: FetchSettings,
        on_discarded: Callable[[ObjectMeta], None] = lambda meta: None,
        width: Callable[[], float] = lambda: math.inf,
        superseded: Callable[[ObjectMeta], ObjectMeta | None] = lambda meta: None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._on_discarded = on_discarded
        self._downloads: dict[ObjectVersion, Download] = {}
        self._last_errors = LastErrors()
        self._stopping = False
        # Reading whole objects again takes long and must not hold up readers.
        self._rereads = trio.CapacityLimiter(2)
        self._loose = LooseParts()
        self._disk = Disk(self._retire)
        self._prover = Prover(store, self._discarded)
        self._pool = TransferPool(
            reader,
            TransferSettings(
                settings.connections,
                settings.bandwidth,
                settings.background_bandwidth,
            ),
            self._disk,
            self._loose,
            Neighbours(store.claims, self._disk),
            on_written=self._prover.prove,
            on_idle=self._retire,
            width=width,
            superseded=superseded,
        )

    def __repr__(self) -> str:
        return f"<Engine downloads={len(self._downloads)} {self._pool!r}>"

    def statistics(self) -> TransferStatistics:
        """What is queued and running at this moment."""
        return self._pool.statistics()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run transfers until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._disk.run)
            await self._pool.run(task_status=task_status)

    @property
    def cache_error(self) -> str:
        """Why the cache is gone without at this moment; empty while it is well."""
        return self._disk.error

    def stop(self) -> None:
        """Whoever waits for data, now or later, gets `ShuttingDown`."""
        self._stopping = True
        for download in self._downloads.values():
            for transfer in set(download.claims.values()):
                transfer.wake()

    # --- downloads ---

    async def open(self, meta: ObjectMeta) -> Download:
        """Hold the download of one object version; each open needs one `close`.

        If the cache cannot give an entry, its bytes only pass through memory.
        """
        self._raise_if_stopping()
        version = version_of(meta)
        if self._usable(version) is None:
            entry = await self._acquire(version)
            if self._usable(version) is not None:
                self._store.release(entry)
            else:
                self._downloads[version] = Download(meta, entry, proven=entry.is_verified)
        download = self._downloads[version]
        if meta.crc64 is not None:
            download.entry.expect_crc64(meta.crc64)
        download.holders += 1
        return download

    async def _acquire(self, version: ObjectVersion) -> Entry:
        try:
            return await self._disk.open(partial(self._store.acquire, version), self._store.release)
        except CacheError:
            return self._store.detached(version)

    def close(self, download: Download) -> None:
        """Give up one hold; after the last, only running transfers finish."""
        download.holders -= 1
        if download.holders == 0:
            self._pool.drop_queued(download)
            self._retire(download)

    def find(self, meta: ObjectMeta) -> Download | None:
        """The download of this version if somebody holds it."""
        return self._downloads.get(version_of(meta))

    def _usable(self, version: ObjectVersion) -> Download | None:
        """The download of a version, unless its entry was thrown away under it."""
        download = self._downloads.get(version)
        return download if download is not None and download.entry.is_open else None

    def last_error(self, meta: ObjectMeta) -> OssfsError | None:
        """Why this version could not be read last; None once it is complete."""
        download = self.find(meta)
        if download is not None and download.last_error is not None:
            return None if download.entry.is_complete else download.last_error
        return self._last_errors.of(version_of(meta))

    def _retire(self, download: Download) -> None:
        if download.holders or download.running:
            return
        self._forget(download)
        self._loose.drop(download)
        self._store.release(download.entry)

    def _discarded(self, download: Download) -> None:
        self._forget(download)
        self._on_discarded(download.meta)

    def _forget(self, download: Download) -> None:
        version = version_of(download.meta)
        if self._downloads.get(version) is download:
            del self._downloads[version]
        if download.last_error is not None or download.entry.is_complete:
            is_well = download.entry.is_complete and download.stale is None
            self._last_errors.keep(version, None if is_well else download.last_error)

    # --- reading ---

    async def read(
        self, download: Download, pattern: AccessPattern, offset: int, length: int
    ) -> bytes:
        """Exactly the bytes ``[offset, offset + length)``, which must lie within the object.

        Raises OriginError as the origin answered, NoProgress when the reader's time is up,
        CorruptObject, or ShuttingDown; never CacheError.
        """
        entry = download.entry
        parts = entry.geometry.parts(offset, length)
        run_bytes = pattern.advance(offset, length)
        if not entry.is_complete:
            self._read_ahead(download, pattern, parts.start, offset + length, run_bytes)
        data = self._read_at_once(download, parts, offset, length)
        return await self._read(download, parts, offset, length) if data is None else data

    def _read_at_once(
        self, download: Download, parts: range, offset: int, length: int
    ) -> bytes | None:
        if not self._is_ready(download, parts):
            return None
        try:
            return download.entry.read_nowait(offset, length)
        except CacheError:
            return None

    async def _read(self, download: Download, parts: range, offset: int, length: int) -> bytes:
        """Read when the parts are there; if the disk does not give them, from the origin."""
        with self._loose.wanted(download, parts):
            try:
                return await self._read_kept(download, parts, offset, length)
            except Hanging as error:
                log.debug("%s: %s", download.meta.key, error)
            except CacheError:
                await self._disk.lose(download, parts)
                download.proven = download.proven and download.entry.is_complete
            with self._loose.demanded(download, parts):
                await self._make_ready(download, parts, from_memory=True)
                return await self._gather(download, parts, offset, length)

    async def _read_kept(self, download: Download, parts: range, offset: int, length: int) -> bytes:
        while True:
            await self._make_ready(download, parts)
            # Eviction of parts does not wait for readers: those who were late read again.
            with suppress(Absent):
                return await self._gather(download, parts, offset, length)
            await trio.lowlevel.checkpoint()

    async def _gather(self, download: Download, parts: range, offset: int, length: int) -> bytes:
        """The bytes of parts that are ready, each from memory if it is there. Raises CacheError."""
        if not any(self._loose.has(download, part) for part in parts):
            data = download.entry.read_nowait(offset, length)
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

    async def confirm(self, download: Download) -> None:
        """Ask the origin whether this version is still there, by fetching its first missing part.

        Raises ObjectChanged or NotFound. An origin that fails or takes over two seconds is no
        reason to refuse: the reads will tell.
        """
        missing = download.entry.missing(0, download.entry.part_count)
        if missing:
            first = missing[0].start
            transfer = self._pool.demand(download, range(first, first + 1), 1)
            transfer.waiters += 1
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
        mine: list[Transfer] = []
        try:
            await self._fill(download, mine)
        finally:
            self._pool.abandon(mine)
        await self._prover.prove(download)

    async def verify(self, download: Download) -> int:
        """Read all that is cached again and compare it, a complete object with the origin's CRC-64
        too; how many parts were damaged and are absent now. Raises CorruptObject, CacheError."""
        entry = download.entry
        damaged = await trio.to_thread.run_sync(entry.recheck, limiter=self._rereads)
        download.proven = False
        await self._prover.prove(download)
        return len(damaged)

    async def _fill(self, download: Download, mine: list[Transfer]) -> None:
        entry, step = download.entry, self._request_parts(download, self._settings.request_bytes)
        low, reach = 0, step * (self._settings.connections + 1)
        failures = self._disk.writing.failures
        if self._disk.writing.is_resting(trio.current_time()):
            raise CacheError(self._disk.error)
        while not entry.is_complete:
            self._raise_if_hopeless(download, range(entry.part_count))
            if not entry.is_open or self._disk.writing.failures != failures:
                raise CacheError(self._disk.error or "its cached data was discarded")
            # An object may have a million parts: look only at those that can be under way.
            missing = entry.missing(low, min(low + reach, entry.part_count))
            if not missing:
                low = low + reach if low + reach < entry.part_count else 0
                continue
            low = missing[0].start
            mine[:] = [transfer for transfer in mine if not transfer.done]
            free = max(self._settings.connections - len(mine), 1)
            mine += self._pool.claim(download, missing, step, Priority.BACKGROUND, at_most=free)
            await download.claims[low].moved.wait()

    def _read_ahead(
        self, download: Download, pattern: AccessPattern, first: int, stop: int, run_bytes: int
    ) -> None:
        """Queue what this read needs together with what its run will need next."""
        limit = self._settings.read_ahead_bytes
        if self._disk.is_ill_for(download.entry):
            limit = min(limit, ILL_READ_AHEAD_BYTES)
        window = readahead.window(run_bytes, limit)
        step = readahead.request_bytes(window, self._settings.request_bytes)
        target = readahead.target(stop, window, step, download.meta.size)
        if first not in download.claims and download.entry.missing(first, first + 1):
            pattern.planned = 0  # what was planned has failed or was given up
        if target <= pattern.planned or download.failures or download.stale is not None:
            return
        part_size = download.entry.geometry.part_size
        begin, end = max(pattern.planned // part_size, first), -(-target // part_size)
        pattern.planned = target
        self._pool.claim(
            download,
            self._missing(download, range(begin, end)),
            self._request_parts(download, step),
            Priority.READ_AHEAD,
        )

    def _request_parts(self, download: Download, size_bytes: int) -> int:
        return max(size_bytes // download.entry.geometry.part_size, 1)

    def _is_ready(self, download: Download, parts: range) -> bool:
        entry = download.entry
        return (
            (download.proven or not entry.is_complete)
            and not self._missing(download, parts)
            and not entry.unchecked(parts.start, parts.stop)
            and not self._stopping
            and not isinstance(download.stale, CorruptObject)
        )

    def _missing(self, download: Download, parts: range) -> list[range]:
        """Runs of parts that are neither in the cache nor in memory."""
        missing = download.entry.missing(parts.start, parts.stop)
        if missing and self._loose:
            return [run for lost in missing for run in self._loose.absent(download, lost)]
        return missing

    async def _make_ready(
        self, download: Download, parts: range, *, from_memory: bool = False
    ) -> None:
        """Return when all ``parts`` are present and checked, and a complete object is proven.

        ``from_memory`` is for parts that the disk has and does not give. Raises CacheError if it
        does not give what is to be checked.
        """
        since = trio.current_time()
        step = self._request_parts(download, self._settings.request_bytes)
        while from_memory or not self._is_ready(download, parts):
            self._raise_if_hopeless(download, parts, from_memory=from_memory)
            if from_memory:
                missing = self._loose.absent(download, parts)
                if not missing:
                    return
            else:
                await self._check(download, parts)
                missing = self._missing(download, parts)
            if missing:
                download.proven = False  # of an object that was complete before, too
            transfers = [self._pool.demand(download, run, step) for run in missing]
            if transfers:
                await self._wait(transfers[0], parts, since)
            else:
                await self._prover.prove(download)

    async def _check(self, download: Download, parts: range) -> None:
        if download.entry.unchecked(parts.start, parts.stop):
            for part in await self._disk.check(download, parts):
                download.proven = False
                key = download.meta.key
                log.warning("%s: cached part %d is damaged, fetching it again", key, part)

    async def _wait(self, transfer: Transfer, parts: range, since: float) -> None:
        """Wait until ``transfer`` moved. Raises NoProgress."""
        moved, timeout = transfer.moved, self._settings.timeout_s or math.inf
        transfer.waiters += 1
        try:
            while not moved.is_set():
                newest = self._pool.newest_byte
                if transfer.last_byte is not None:
                    newest = transfer.last_byte
                deadline = max(since, newest) + timeout
                if deadline <= trio.current_time():
                    raise self._give_up(transfer.download, parts)
                with trio.move_on_at(deadline):
                    await moved.wait()
        finally:
            transfer.waiters -= 1

    def _give_up(self, download: Download, parts: range) -> NoProgress:
        key, seconds = download.meta.key, self._settings.timeout_s
        error = NoProgress(f"{key}: no data arrived for {seconds:g} seconds")
        download.last_error = error
        log.warning("%s", error)
        until = trio.current_time() + REMEMBERED_SECONDS
        download.failures.append(Failure(parts, error, until))
        return error

    def _raise_if_hopeless(
        self, download: Download, parts: range, *, from_memory: bool = False
    ) -> None:
        self._raise_if_stopping()
        error: OssfsError | None = download.failure_of(parts, trio.current_time())
        if download.stale is not None:
            error = download.stale
        is_needed = from_memory or self._missing(download, parts)
        if error is not None and (is_needed or isinstance(error, CorruptObject)):
            # One exception for many reads: each starts a traceback of its own.
            raise error.with_traceback(None)

    def _raise_if_stopping(self) -> None:
        if self._stopping:
            raise ShuttingDown("the file system is being unmounted")
