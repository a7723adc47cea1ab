"""Running ranged requests: how many at once, what next, and that each of them ends.

`in_flight` says what waits to run; `_dispatch` starts it while the link affords it. What a running
transfer does with its bytes is told in `receiver` and `part_writer`; when it moves it wakes its
waiters, who look at the bitmap again.

What may not change:

- No lock is held across an await on the network.
- Every transfer that was started ends, however it fails: its claims are given up, its waiters
  woken, its place free.
- A transfer that waits for another process takes no place among those that run, and has to queue
  for one when it has waited: never do more run than the link and the origin bear.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import trio

from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.errors import BadAnswer, OssfsError, TransientError, forget_frames
from ossfs_resume.fetch.disk import Disk
from ossfs_resume.fetch.download import Download, Transfer
from ossfs_resume.fetch.in_flight import ClaimQueue
from ossfs_resume.fetch.memory_parts import MemoryParts
from ossfs_resume.fetch.other_processes import OtherProcesses
from ossfs_resume.fetch.part_writer import Buffers, Desk, Passed, Writes
from ossfs_resume.fetch.rates import Bandwidth, Traffic
from ossfs_resume.fetch.receiver import Receiver, Receives, VersionReader
from ossfs_resume.fetch.receiver_thread import Post, Receivers
from ossfs_resume.fetch.scheduler import Priority, concurrency, least_urgent
from ossfs_resume.fetch.settings import FetchSettings
from ossfs_resume.shortages import log_failure

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TransferStatistics:
    """``bytes_per_second`` is None until measured."""

    queued: int
    running: int
    bytes_received: int
    bytes_per_second: float | None


class TransferPool:
    """Runs the transfers that were claimed.

    ``on_idle`` is called when a transfer of a download has ended. ``width`` says how many requests
    at once the origin bears at this moment. ``in_thread``: bytes are received in a thread of their
    own; otherwise, for tests of what is decided here, in the same event loop.
    """

    def __init__(
        self,
        claims: ClaimQueue,
        open_reader: Callable[[], VersionReader],
        disk: Disk,
        memory: MemoryParts,
        prove: Callable[[Download], Awaitable[None]],
        other_processes: OtherProcesses,
        settings: FetchSettings,
        on_idle: Callable[[Download], None],
        width: Callable[[], float] = lambda: math.inf,
        *,
        in_thread: bool = False,
    ) -> None:
        self._open_reader = open_reader
        self._claims = claims
        claims.on_change = self._dispatch
        self._memory = memory
        self._prove = prove
        self._other_processes = other_processes
        self._settings = settings
        self._on_idle = on_idle
        self._width = width
        self.traffic = Traffic()
        self._bandwidth = Bandwidth(settings.bandwidth, settings.background_bandwidth)
        self._receiver: Receives = (
            Receivers(self._make_receiver, disk.writing, on_idle)
            if in_thread
            else self._make_receiver(_call_here, disk)
        )
        self._running: set[Transfer] = set()
        self._nursery: trio.Nursery | None = None

    def __repr__(self) -> str:
        return f"<TransferPool running={len(self._running)} queued={len(self._claims)}>"

    def statistics(self) -> TransferStatistics:
        """What it does at this moment."""
        traffic = self.traffic
        return TransferStatistics(
            len(self._claims), len(self._running), traffic.bytes_received, traffic.bytes_per_second
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run transfers until cancelled."""
        async with trio.open_nursery() as self._nursery:
            await self._nursery.start(self._receiver.run)
            task_status.started()
            await trio.sleep_forever()

    def last_progress(self, transfer: Transfer) -> float:
        """When the newest byte came that whoever waits for ``transfer`` is waiting for: its own or,
        while it is queued, anybody's. As long as bytes are being written, that is now."""
        ahead = self._running if transfer.last_byte is None else {transfer}
        if any(other.sink is not None and other.sink.is_writing for other in ahead):
            return trio.current_time()
        return self.traffic.newest_byte if transfer.last_byte is None else transfer.last_byte

    def write_soon(self, transfer: Transfer) -> None:
        """Somebody waits for it: what it has gathered, perhaps before it stalled, is written."""
        if transfer.sink is not None and transfer.sink.has_unwritten_parts:
            self._receiver.write_soon(transfer)

    def _arrived(self, transfer: Transfer, parts: range, passed: Sequence[Passed]) -> None:
        """Hold in memory what the disk did not take or will not give back, and wake who waits."""
        download = transfer.download
        for each in passed:
            if each.crc64 is not None:
                download.passed[each.part] = each.crc64
            self._memory.hold(download, each.part, each.data)
        for part in parts:
            download.claims.pop(part, None)
        if parts.stop < transfer.stop:  # else after the proof of what this may have completed
            transfer.wake()

    def _make_receiver(self, post: Post, writes: Writes) -> Receiver:
        """In the thread where it is going to run."""
        desk = Desk(
            Buffers(),
            writes,
            self.traffic,
            self._bandwidth,
            arrived=partial(post, self._arrived),
            on_new_rate=partial(post, self._dispatch),
            has_demands=self._memory.has_demands,
            is_demanded=self._memory.is_demanded,
        )
        return Receiver(self._open_reader(), desk)

    def _dispatch(self) -> None:
        if self._nursery is None or self._nursery.cancel_scope.cancel_called:
            return
        while len(self._claims):
            lowest = self._least_urgent()
            transfer = None if lowest is None else self._claims.pop(lowest)
            if transfer is None:
                return
            self._start(transfer, self._nursery)

    def _least_urgent(self) -> Priority | None:
        """What may start at this moment."""
        running = self._running
        demanded = len([None for transfer in running if transfer.priority is Priority.DEMAND])
        limit = int(min(self._settings.connections, self._width()))
        unfinished = max([transfer.unfinished_bytes for transfer in running], default=1)
        rate = self.traffic.bytes_per_second or self._bandwidth.total or None
        allowed = concurrency(rate, unfinished, limit)
        return least_urgent(len(running), demanded, allowed, limit)

    def _start(self, transfer: Transfer, nursery: trio.Nursery) -> None:
        transfer.last_byte = trio.current_time()
        if not self._running:
            self.traffic.begin(transfer.last_byte)
        self._running.add(transfer)
        if transfer.place is not None:
            transfer.place.set()
        else:
            transfer.download.running += 1
            nursery.start_soon(self._run, transfer)

    async def _run(self, transfer: Transfer) -> None:
        claimed = transfer.parts
        try:
            with transfer.scope:
                if self._other_processes.claim(transfer) or await self._is_left(transfer):
                    await self._receiver.fetch(transfer)
            await self._prove(transfer.download)
        except Exception as error:
            _failed(transfer, _explained(transfer, error))
        finally:
            self._end(transfer)
            self._unclaim(transfer.download.entry.version, claimed)

    def _end(self, transfer: Transfer) -> None:
        transfer.done = True
        transfer.download.unclaim(transfer)
        transfer.download.running -= 1
        self._running.discard(transfer)
        transfer.wake()
        self._on_idle(transfer.download)
        self._dispatch()

    async def _is_left(self, transfer: Transfer) -> bool:
        """Whether others leave anything to fetch; a transfer that waits for them takes no place."""
        is_left = await self._other_processes.look(transfer)
        if is_left is not None:
            return is_left
        self._running.discard(transfer)
        self._dispatch()
        return await self._other_processes.wait(transfer) and await self._has_place_again(transfer)

    async def _has_place_again(self, transfer: Transfer) -> bool:
        """Queue up like everybody else; False if it was dropped meanwhile."""
        transfer.last_byte, transfer.place = None, trio.Event()
        self._claims.push(transfer)
        self._dispatch()
        try:
            await transfer.place.wait()
        finally:
            self._claims.discard(transfer)
        return not transfer.done

    def _unclaim(self, version: ObjectVersion, parts: range) -> None:
        is_ending = self._nursery is None or self._nursery.cancel_scope.cancel_called
        if self._nursery is None or is_ending or not self._other_processes.has_others():
            self._other_processes.release(version, parts)
        else:
            self._nursery.start_soon(self._other_processes.release_later, version, parts)


def _call_here(function: Callable[..., object], *args: object) -> None:
    function(*args)


def _explained(transfer: Transfer, error: Exception) -> OssfsError:
    """An error that nobody thought of fails one range, and not the mount with all its readers."""
    if isinstance(error, OssfsError):
        return error
    log_failure(log, f"{transfer.download.meta.key}: {transfer!r}", error)
    return BadAnswer(f"{transfer.download.meta.key}: {type(error).__name__}: {error}")


def _failed(transfer: Transfer, error: OssfsError) -> None:
    download = transfer.download
    # A broken network fails every transfer of a window; one line says so.
    is_first = not download.failures and download.stale is None and not error.is_told
    forget_frames(error)  # it is kept, and said to many
    if transfer.priority is Priority.SIBLING and isinstance(error, TransientError):
        # Nobody has asked for it yet: who does gets an attempt of his own.
        log.debug("%s: fetched in vain before it was opened: %s", transfer.download.meta.key, error)
        return
    download.failed(transfer.parts, error, trio.current_time())
    level, key = logging.WARNING if is_first else logging.DEBUG, download.meta.key
    geometry = download.entry.geometry
    first, stop = geometry.bytes_of(transfer.parts.start, transfer.parts.stop)
    fields = {"key": key, "first": first, "stop": stop, "bytes": stop - first} | error.fields
    log.log(level, "%s: bytes %d to %d: %s", key, first, stop, error, extra=fields)
