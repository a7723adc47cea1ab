"""The ranged requests of a mount: who fetches which part, in which order, how many at once.

A part that nobody fetches yet is *claimed* by exactly one `Transfer`. Transfers wait in a priority
queue; `_dispatch` starts them while the link affords it. A running transfer gathers whole parts,
writes about a mebibyte a thread hop, and wakes its waiters, who look at the bitmap again.

What may not change:

- Claims and queue change only between two awaits of one task, so they always agree.
- No lock is held across an await on the network.
- The last part of a transfer is written only after the request has ended well, when the object's
  CRC-64 is known: the read that completes an object is answered after the proof.
- A failed range is remembered for `REMEMBERED_SECONDS`: the kernel asks for a failed read-ahead
  again page by page, and the process that reads cannot be killed in the meantime.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import trio

from ossfs_resume.cache.crc64 import checksum
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.errors import CorruptObject, NotFound, ObjectChanged, OssfsError
from ossfs_resume.fetch import plan
from ossfs_resume.fetch.bandwidth import Bandwidth
from ossfs_resume.fetch.disk import Disk
from ossfs_resume.fetch.download import Download, Failure, Transfer
from ossfs_resume.fetch.loose import LooseParts
from ossfs_resume.fetch.neighbours import Neighbours
from ossfs_resume.fetch.readahead import MIB
from ossfs_resume.fetch.scheduler import (
    Priority,
    Queue,
    RateMeter,
    concurrency,
    reserved_for_demand,
)
from ossfs_resume.oss.models import ObjectMeta

log = logging.getLogger(__name__)

REMEMBERED_SECONDS = 5.0
WRITE_BYTES = 1 * MIB
WRITE_SECONDS = 0.5
"""Whole parts that nobody waits for are gathered to this size, or for this time, before they are
written."""


class RangeReader(Protocol):
    """What a transfer needs of the origin."""

    async def read_range(
        self, meta: ObjectMeta, start: int, stop: int, deliver: Callable[[bytes], Awaitable[None]]
    ) -> int | None:
        """Deliver bytes ``[start, stop)`` of exactly this version in order; return its CRC-64."""


@dataclass(frozen=True, slots=True)
class TransferSettings:
    """``connections`` bounds the requests that run at once. ``bandwidth`` and
    ``background_bandwidth`` are bytes per second, 0 without limit."""

    connections: int = 32
    bandwidth: float = 0
    background_bandwidth: float = 0


@dataclass(frozen=True, slots=True)
class TransferStatistics:
    """``bytes_per_second`` is None until measured."""

    queued: int
    running: int
    bytes_received: int
    bytes_per_second: float | None


class TransferPool:
    """Claims, queues and runs transfers; what ``disk`` does not take is held in ``loose``.

    ``on_written`` is awaited after parts were written and before their waiters are woken;
    ``on_idle`` is called when a transfer of a download has ended. ``width`` says how many requests
    at once the origin bears at this moment. ``superseded`` tells how to read on in a version that
    is not the current one any more, None if there is no way.
    """

    def __init__(
        self,
        reader: RangeReader,
        settings: TransferSettings,
        disk: Disk,
        loose: LooseParts,
        neighbours: Neighbours,
        on_written: Callable[[Download], Awaitable[None]],
        on_idle: Callable[[Download], None],
        width: Callable[[], float] = lambda: math.inf,
        superseded: Callable[[ObjectMeta], ObjectMeta | None] = lambda meta: None,
    ) -> None:
        self._reader = reader
        self._superseded = superseded
        self._width = width
        self._bandwidth = Bandwidth(settings.bandwidth, settings.background_bandwidth)
        self._settings = settings
        self._disk = disk
        self._loose = loose
        self._neighbours = neighbours
        self._on_written = on_written
        self._on_idle = on_idle
        self._queue: Queue[Transfer] = Queue()
        self._meter = RateMeter()
        self._running: set[Transfer] = set()
        self._bytes_received = 0
        self._nursery: trio.Nursery | None = None
        self.newest_byte = -math.inf
        """Time of the newest byte of any transfer."""

    def __repr__(self) -> str:
        return f"<TransferPool running={len(self._running)} queued={len(self._queue)}>"

    def statistics(self) -> TransferStatistics:
        """What it does at this moment."""
        return TransferStatistics(
            len(self._queue), len(self._running), self._bytes_received, self._meter.rate
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run transfers until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            while True:
                await trio.sleep(WRITE_SECONDS)
                for transfer in self._running:
                    if transfer.has_unwritten_parts:
                        self._nursery.start_soon(self._rescue, transfer)

    # --- claims and the queue ---

    def claim(
        self,
        download: Download,
        missing: Iterable[range],
        request_parts: int,
        priority: Priority,
        at_most: int | None = None,
    ) -> list[Transfer]:
        """Queue requests for those of the ``missing`` parts that no transfer covers yet."""
        free = plan.unclaimed(missing, download.claims.__contains__)
        # A list first: submitting changes the claims that the generator looks at.
        wanted = list(islice(plan.requests(free, request_parts), at_most))
        transfers = [self._submit(download, parts, priority) for parts in wanted]
        self._dispatch()
        return transfers

    def demand(self, download: Download, wanted: range, request_parts: int) -> Transfer:
        """Somebody waits for ``wanted``: claim what is free, pull forward what is queued.

        Returns the transfer that brings the first of them.
        """
        self.claim(download, [wanted], request_parts, Priority.DEMAND)
        for part in wanted:
            transfer = download.claims[part]
            if transfer.is_queued and transfer.priority is not Priority.DEMAND:
                self._promote(transfer, part)
        self._dispatch()
        transfer = download.claims[wanted.start]
        if self._nursery is not None and transfer.has_unwritten_parts:
            self._nursery.start_soon(self._rescue, transfer)
        return transfer

    def drop_queued(self, download: Download) -> None:
        """Nobody wants this object any more: only what runs may finish."""
        for transfer in set(download.claims.values()):
            if transfer.is_queued:
                self._drop(transfer)

    def abandon(self, transfers: Iterable[Transfer]) -> None:
        """End those background transfers that nobody waits for; what has arrived is kept."""
        for transfer in transfers:
            if transfer.done or transfer.waiters or transfer.priority is not Priority.BACKGROUND:
                continue
            if transfer.is_queued:
                self._drop(transfer)
            else:
                transfer.scope.cancel()

    def _drop(self, transfer: Transfer) -> None:
        """Forget a queued transfer; whoever waits for it looks again."""
        self._queue.discard(transfer)
        transfer.done = True
        transfer.download.unclaim(transfer)
        transfer.wake()

    def _submit(self, download: Download, parts: range, priority: Priority) -> Transfer:
        transfer = Transfer(download, parts.start, parts.stop, priority)
        download.claim(transfer)
        self._queue.push(transfer, download, priority)
        return transfer

    def _promote(self, transfer: Transfer, part: int) -> None:
        """Let a queued transfer go first, from ``part`` on; what lies before keeps its place."""
        if part > transfer.first:
            tail = range(part, transfer.stop)
            transfer.stop = part
            self._submit(transfer.download, tail, Priority.DEMAND)
            transfer.wake()
        else:
            transfer.priority = Priority.DEMAND
            self._queue.push(transfer, transfer.download, Priority.DEMAND)

    def _dispatch(self) -> None:
        if self._nursery is None or self._nursery.cancel_scope.cancel_called:
            return
        while True:
            allowed = concurrency(
                self._meter.rate or self._bandwidth.total or None,
                max((transfer.unfinished_bytes for transfer in self._running), default=1),
                int(min(self._settings.connections, self._width())),
            )
            free = allowed - len(self._running)
            if free <= 0:
                return
            scarce = free <= reserved_for_demand(allowed)
            transfer = self._queue.pop(Priority.DEMAND if scarce else Priority.BACKGROUND)
            if transfer is None:
                return
            self._start(transfer, self._nursery)

    def _start(self, transfer: Transfer, nursery: trio.Nursery) -> None:
        transfer.last_byte = trio.current_time()
        if not self._running:
            self._meter.begin(transfer.last_byte)
        self._running.add(transfer)
        transfer.download.running += 1
        nursery.start_soon(self._run, transfer)

    # --- one transfer ---

    async def _run(self, transfer: Transfer) -> None:
        download, claimed = transfer.download, transfer.parts
        try:
            with transfer.scope:
                if self._neighbours.claim(transfer) or await self._is_left(transfer):
                    await self._fetch(transfer)
            if transfer.scope.cancelled_caught:
                await self._write(transfer)
        except OssfsError as error:
            self._failed(transfer, error)
        finally:
            transfer.done = True
            download.unclaim(transfer)
            download.running -= 1
            self._running.discard(transfer)
            transfer.wake()
            self._on_idle(download)
            self._dispatch()
            self._unclaim(download.entry.version, claimed)

    async def _is_left(self, transfer: Transfer) -> bool:
        """Whether others leave anything to fetch; a transfer that waits for them takes no place."""
        self._running.discard(transfer)
        self._dispatch()
        try:
            return await self._neighbours.wait(transfer)
        finally:
            self._running.add(transfer)

    def _unclaim(self, version: ObjectVersion, parts: range) -> None:
        if self._nursery is not None and not self._nursery.cancel_scope.cancel_called:
            self._nursery.start_soon(self._neighbours.release, version, parts)

    def _failed(self, transfer: Transfer, error: OssfsError) -> None:
        download = transfer.download
        # A broken network fails every transfer of a window; one line says so.
        is_first = not download.failures and download.stale is None
        download.last_error = error
        if isinstance(error, ObjectChanged | NotFound | CorruptObject):
            download.stale = error
        else:
            until = trio.current_time() + REMEMBERED_SECONDS
            download.failures.append(Failure(transfer.parts, error, until))
        log.log(logging.WARNING if is_first else logging.DEBUG, "%s: %s", download.meta.key, error)

    async def _fetch(self, transfer: Transfer) -> None:
        async def deliver(chunk: bytes) -> None:
            self._progress(transfer, len(chunk))
            await self._keep_to_bandwidth(transfer, len(chunk))
            transfer.batch.add(chunk)
            if transfer.waiters or transfer.batch.whole_bytes >= WRITE_BYTES:
                await self._write(transfer)

        download = transfer.download
        start, stop = download.entry.geometry.bytes_of(transfer.first, transfer.stop)
        try:
            crc64 = await self._read_range(download, start, stop, deliver)
        except OssfsError:
            await self._write(transfer)
            raise
        if crc64 is not None:
            download.entry.expect_crc64(crc64)
        await self._write(transfer, at_end=True)

    async def _read_range(
        self, download: Download, start: int, stop: int, deliver: Callable[[bytes], Awaitable[None]]
    ) -> int | None:
        """Of a version that is not the current one any more, too, if the origin still has it."""
        position = start

        async def count(chunk: bytes) -> None:
            nonlocal position
            position += len(chunk)
            await deliver(chunk)

        try:
            return await self._reader.read_range(download.meta, start, stop, count)
        except ObjectChanged as error:
            old = self._superseded(download.meta)
            if old is None or (old.access == "grown" and download.entry.progress.crc64 is None):
                raise
            download.superseded = download.superseded or error
            return await self._reader.read_range(old, position, stop, deliver)

    def _progress(self, transfer: Transfer, count: int) -> None:
        transfer.last_byte = self.newest_byte = trio.current_time()
        self._bytes_received += count
        if self._meter.add(count, self.newest_byte):
            self._dispatch()

    async def _keep_to_bandwidth(self, transfer: Transfer, count: int) -> None:
        is_background = transfer.priority is Priority.BACKGROUND and not transfer.waiters
        seconds = self._bandwidth.spend(count, is_background=is_background)
        if seconds:
            # Our own waiting is no silence of the origin: nobody's patience ends meanwhile.
            transfer.last_byte = max(transfer.last_byte or 0, trio.current_time() + seconds)
            self.newest_byte = max(self.newest_byte, transfer.last_byte)
            await trio.sleep(seconds)

    async def _rescue(self, transfer: Transfer) -> None:
        """Write what somebody waits for though the transfer, perhaps stalled, has not yet."""
        try:
            await self._write(transfer)
        except OssfsError as error:
            self._failed(transfer, error)

    async def _write(self, transfer: Transfer, *, at_end: bool = False) -> None:
        """Write the whole parts at hand; the last one only ``at_end``, once the request is well."""
        download = transfer.download
        async with transfer.writing:
            if not at_end and transfer.batch.first + len(transfer.batch) >= transfer.stop:
                return
            first, parts = transfer.batch.take()
            if not parts:
                return
            is_kept = await self._disk.write(download, first, parts)
            for part, chunks in enumerate(parts, first):
                if not is_kept:
                    download.passed[part] = checksum(chunks)
                if not is_kept or self._loose.is_demanded(download, part):
                    self._loose.hold(download, part, b"".join(chunks))
                download.claims.pop(part, None)
            await self._on_written(download)
        transfer.wake()
