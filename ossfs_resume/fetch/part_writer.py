"""Where the bytes of a transfer go: into a buffer, and from there, part by part, to the disk.

The buffer belongs to the transfer while it runs and goes to the next one afterwards: fresh memory
costs more than all that is done with it. It begins at a part's border, the network puts bytes
behind each other into it, and parts, checksums and writes are views of it; nothing is copied but
what must outlive it. It is written when it is full, or when the network has nothing at this moment
and somebody waits for what is there.

What may not change:

- The last part of a transfer is written only after the request has ended well, when the object's
  CRC-64 is known: the read that completes an object is answered after the proof.
- New bytes, even of an object that was proven before, are proven before anybody gets the whole: it
  counts as unproven before the first of them is marked as present.
- A part that the disk does not take is copied and handed on, never lost between disk and reader,
  and so is its CRC-64: an object that only went by is proven all the same.
- While a thread writes from the buffer there is no room in it. A buffer that was left to a thread
  which hangs is never used again: whatever it holds by then may still be written.
"""

import mmap
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import trio

from ossfs_resume.cache.crc64 import checksum
from ossfs_resume.fetch.download import Download, Transfer
from ossfs_resume.fetch.rates import Bandwidth, Traffic
from ossfs_resume.fetch.readahead import MIB
from ossfs_resume.fetch.scheduler import Priority
from ossfs_resume.fetch.thread_calls import Hanging

BUFFER_BYTES = MIB
"""No request has more than this in hand (or one part, where parts are larger), 32 of them 32 MiB:
that, and 24 MiB of parts that are written and not committed, is what kill -9 may cost. Writes of
more than 1 MiB are dearer on machines that take free memory back."""

KEPT_BUFFERS = 8
"""Buffers that are kept while nothing is fetched."""

BURST_S = 0.1
"""Where there is a limit of bandwidth, no more is received at a time than is due in this time."""


class Buffers:
    """Page-aligned memory for transfers, used again and again."""

    def __init__(self) -> None:
        self._free: list[memoryview] = []
        self._in_use = 0

    def __repr__(self) -> str:
        return f"<Buffers {self._in_use} in use, {len(self._free)} free>"

    def take(self, size: int) -> memoryview:
        """One of so many bytes at least."""
        self._in_use += 1
        if size > BUFFER_BYTES or not self._free:
            return memoryview(mmap.mmap(-1, max(size, BUFFER_BYTES)))
        return self._free.pop()

    def give_back(self, buffer: memoryview) -> None:
        """It is needed no more."""
        if len(buffer) == BUFFER_BYTES:
            self._free.append(buffer)
        self.lose()

    def lose(self) -> None:
        """One is left to a thread that hangs."""
        self._in_use -= 1
        if not self._in_use:
            del self._free[KEPT_BUFFERS:]


class Writes(Protocol):
    """The disk."""

    async def write(self, download: Download, first: int, parts: Sequence[memoryview]) -> bool:
        """Keep whole parts; False if they could not be kept.

        Raises Hanging if they may still be written at any later time.
        """


@dataclass(frozen=True, slots=True)
class Passed:
    """A part in memory, and its CRC-64 unless the disk has it."""

    part: int
    data: bytes
    crc64: int | None


Arrived = Callable[[Transfer, range, Sequence[Passed]], object]
"""Parts of a transfer are on the disk, but for those that are handed on in memory."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What all transfers share. ``arrived`` is told of all parts, ``on_new_rate`` when the link
    turned out to be faster or slower; ``is_demanded`` says whether a part must be had in memory
    even if the disk takes it, ``has_demands`` whether any must."""

    buffers: Buffers
    writes: Writes
    traffic: Traffic
    bandwidth: Bandwidth
    arrived: Arrived
    on_new_rate: Callable[[], object]
    has_demands: Callable[[], bool]
    is_demanded: Callable[[Download, int], bool]


class PartWriter:
    """The sink of one transfer. It owns a buffer until `close`."""

    def __init__(self, transfer: Transfer, desk: Desk) -> None:
        self._transfer = transfer
        self._geometry = transfer.download.entry.geometry
        self._stop = self._geometry.bytes_of(transfer.first, transfer.stop)[1]
        self._desk = desk
        is_background = transfer.priority is Priority.BACKGROUND
        self._at_once = desk.bandwidth.burst(BURST_S, is_background=is_background)
        self._base = self._written = transfer.first
        self._base_offset = transfer.first * self._geometry.part_size
        self._count = 0
        self.is_writing = False
        """Whether parts are on their way to the disk."""
        self._was_written = trio.Event()
        self._is_lent = False
        self._buffer = desk.buffers.take(self._geometry.part_size)

    def close(self) -> None:
        """The buffer goes to somebody else, unless it is left to a thread."""
        if self._is_lent:
            self._desk.buffers.lose()
        else:
            self._desk.buffers.give_back(self._buffer)
        # An exception may keep this object for a while, and must not keep the memory.
        self._buffer = memoryview(b"")

    @property
    def position(self) -> int:
        """Where in the object the next byte belongs."""
        return self._base_offset + self._count

    @property
    def is_whole(self) -> bool:
        """Whether all bytes have come."""
        return self.position >= self._stop

    @property
    def has_unwritten_parts(self) -> bool:
        """Whether whole parts have arrived that nobody has taken up for writing yet."""
        return not self.is_writing and self._whole_parts > self._written

    def room(self) -> memoryview:
        """Memory for the next bytes, valid until the next await; empty while a thread writes."""
        if self.is_writing:
            return self._buffer[:0]
        return self._buffer[self._count : self._count + self._at_once]

    async def filled(self, count: int) -> None:
        """So many bytes were put into `room`."""
        self._count += count
        transfer, desk = self._transfer, self._desk
        transfer.last_byte = now = trio.current_time()
        if desk.traffic.arrived(count, now):
            desk.on_new_rate()
        if desk.bandwidth.is_limited and (seconds := self._due_s(count)):
            self._excuse(now + seconds)
            await trio.sleep(seconds)
        if self._count >= len(self._buffer):
            await self.write()
            await trio.lowlevel.checkpoint()  # a fast network would leave no turn to others

    async def dry(self) -> None:
        """Nothing is there at this moment: who waits gets what has come; returns when there is
        room."""
        if self.is_writing:
            await self._was_written.wait()
        elif self._transfer.waiters and self.has_unwritten_parts:
            await self.write()

    async def write(self, *, at_end: bool = False) -> None:
        """Write the whole parts at hand; the last one only ``at_end``, once the request is well."""
        while self.is_writing:
            await self._was_written.wait()
        parts = range(self._written, self._whole_parts)
        if not parts or (parts.stop >= self._transfer.stop and not at_end):
            return
        self.is_writing = True
        try:
            await self._write(parts)
            self._written = parts.stop
            if self._is_lent:
                self._go_on_elsewhere()
            elif self.position == self._offset_of(parts.stop):
                self._base, self._base_offset, self._count = parts.stop, self.position, 0
        finally:
            self.is_writing = False
            self._was_written.set()
            self._was_written = trio.Event()

    async def _write(self, parts: range) -> None:
        views = self._views(parts)
        download = self._transfer.download
        download.proven = False
        self._is_lent, is_kept = True, False
        with suppress(Hanging):
            is_kept = await self._desk.writes.write(download, parts.start, views)
            self._is_lent = False
        self._excuse(trio.current_time())
        self._desk.arrived(self._transfer, parts, self._passed(parts, views, is_kept=is_kept))

    def _go_on_elsewhere(self) -> None:
        begin = self._offset_of(self._written)
        rest = self._buffer[begin - self._base_offset : self._count]
        self._desk.buffers.lose()
        self._buffer = self._desk.buffers.take(self._geometry.part_size)
        self._buffer[: len(rest)] = rest
        self._base, self._base_offset = self._written, begin
        self._count, self._is_lent = len(rest), False

    def _passed(
        self, parts: range, views: Sequence[memoryview], *, is_kept: bool
    ) -> Sequence[Passed]:
        """What is to be held in memory: what the disk did not take, or will not give back."""
        download = self._transfer.download
        if is_kept and not self._desk.has_demands():
            return ()
        return [
            Passed(part, bytes(view), None if is_kept else checksum([view]))
            for part, view in zip(parts, views, strict=True)
            if not is_kept or self._desk.is_demanded(download, part)
        ]

    @property
    def _whole_parts(self) -> int:
        """The first part that is not here as a whole."""
        if self.is_whole:
            return self._transfer.stop
        return self._base + self._count // self._geometry.part_size

    def _views(self, parts: range) -> Sequence[memoryview]:
        size, begin = self._geometry.part_size, self._base_offset
        stop = self._geometry.size - begin
        places = range(parts.start * size - begin, parts.stop * size - begin, size)
        return [self._buffer[place : min(place + size, stop)] for place in places]

    def _offset_of(self, part: int) -> int:
        return min(part * self._geometry.part_size, self._geometry.size)

    def _due_s(self, count: int) -> float:
        transfer = self._transfer
        is_background = transfer.priority is Priority.BACKGROUND and not transfer.waiters
        return self._desk.bandwidth.spend(count, trio.current_time(), is_background=is_background)

    def _excuse(self, until: float) -> None:
        """Our own waiting is no silence of the origin: nobody's patience ends meanwhile."""
        transfer = self._transfer
        transfer.last_byte = max(transfer.last_byte or 0, until)
        self._desk.traffic.excuse(transfer.last_byte)
