"""What is asked of the cache's disk, each call in a thread and with a deadline.

The cache never causes an I/O error: whoever calls here expects CacheError and goes on with the
origin. A disk may also hang. Then the caller gets its CacheError when its patience is over; the
thread, and a task that waits for it, stay, and with them the hold on the entry: closing a file
under a thread that is about to write could let it write into whatever gets the same descriptor
next.

Reads, writes, openings and removals have a lane each (`thread_calls`), so that a hanging kind does
not hold up the others.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import trio

from ossfs_resume.cache.entry import Absent
from ossfs_resume.errors import CacheError
from ossfs_resume.fetch.circuit_breaker import CircuitBreaker
from ossfs_resume.fetch.download import Download
from ossfs_resume.fetch.thread_calls import Call, Hanging, Lane

log = logging.getLogger(__name__)

T = TypeVar("T")

READ_PATIENCE_SECONDS = 3.0
WRITE_PATIENCE_SECONDS = 8.0
"""Longer than a write waits for the catalogue to keep up (`Backlog`): that is slow and not ill."""

READS_AT_ONCE = 16
WRITES_AT_ONCE = 8
OPENINGS_AT_ONCE = 8


def _ignore(_: object = None) -> None:
    pass


class Disk:
    """``on_idle`` is called when a call on a download has ended that its caller may not have
    waited for; ``nursery`` is where threads are waited for."""

    def __init__(self, on_idle: Callable[[Download], None]) -> None:
        self.reading = CircuitBreaker("read")
        self.writing = CircuitBreaker("written")
        self._on_idle = on_idle
        self._nursery: trio.Nursery | None = None
        self._reads = Lane(READS_AT_ONCE, READ_PATIENCE_SECONDS)
        self._writes = Lane(WRITES_AT_ONCE, WRITE_PATIENCE_SECONDS)
        self._opens = Lane(OPENINGS_AT_ONCE, READ_PATIENCE_SECONDS)
        self._discards = Lane(OPENINGS_AT_ONCE, WRITE_PATIENCE_SECONDS)

    def __repr__(self) -> str:
        return f"<Disk {self.reading!r} {self.writing!r}>"

    @property
    def error(self) -> str:
        """What is wrong at this moment; empty if nothing is."""
        for trouble in (self.writing, self.reading):
            trouble.settle(trio.current_time())
        return self.writing.error or self.reading.error

    @property
    def is_failing(self) -> bool:
        """Whether it was left alone of late: nothing that it gives is believed unchecked. Asked
        before each read, so it is cheap while all is well."""
        return bool(self.writing.error or self.reading.error) and bool(self.error)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Wait for threads until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    async def open(self, acquire: Callable[[], T], release: Callable[[T], object]) -> T:
        """What ``acquire`` gives. Raises CacheError; what comes too late is released."""
        self._raise_if_resting(self.reading)
        try:
            return await self._call(acquire, self._opens, release)
        except CacheError as error:
            self.reading.failed(error, trio.current_time())
            raise

    async def read(self, download: Download, offset: int, length: int) -> bytes:
        """Exactly these bytes, compared with what was stored. Raises Absent (Damaged) if parts are
        not there any more, CacheError."""
        entry = download.entry
        return await self._read(download, lambda: entry.read(offset, length))

    async def refresh(self, download: Download, parts: range) -> None:
        """See what other processes have brought meanwhile, if the catalogue can be read."""
        entry = download.entry
        try:
            await self._read(download, lambda: entry.refresh(parts))
        except CacheError as error:
            log.debug("%s: cannot see what others have: %s", entry.version.key, error)

    async def lose(self, download: Download, parts: range) -> None:
        """Parts that cannot be read are absent from now on, if the disk lets us say so."""
        entry = download.entry
        try:
            await self._read(download, lambda: entry.lose(parts))
        except CacheError as error:
            log.debug("%s: cannot forget unreadable parts: %s", entry.version.key, error)

    async def write(self, download: Download, first: int, parts: Sequence[memoryview]) -> bool:
        """Keep whole parts; False if they could not be kept.

        Raises Hanging if they may still be written at any later time.
        """
        entry = download.entry
        if not entry.progress.is_open or self.writing.is_resting(trio.current_time()):
            return False
        try:
            await self._call_on(
                download,
                lambda: entry.write_parts(first, [(part,) for part in parts]),
                self._writes,
            )
        except CacheError as error:
            # An entry that another process replaced says nothing of the disk.
            if entry.progress.is_open:
                self.writing.failed(error, trio.current_time())
            if isinstance(error, Hanging):
                raise
            return False
        self.writing.succeeded(trio.current_time())
        return True

    async def discard(self, download: Download, discard: Callable[[], None]) -> None:
        """Throw away what is cached of this version. Raises CacheError."""
        await self._call_on(download, discard, self._discards)

    async def _read(self, download: Download, action: Callable[[], T]) -> T:
        self._raise_if_resting(self.reading)
        try:
            result = await self._call_on(download, action, self._reads)
        except Absent:
            raise  # evicted meanwhile, which says nothing of the disk
        except CacheError as error:
            # One bad sector must not keep everybody from a disk that answers.
            is_hanging = isinstance(error, Hanging)
            self.reading.failed(error, trio.current_time(), rest=is_hanging)
            raise
        self.reading.succeeded(trio.current_time())
        return result

    def _raise_if_resting(self, trouble: CircuitBreaker) -> None:
        if trouble.is_resting(trio.current_time()):
            raise CacheError(trouble.error)

    async def _call_on(self, download: Download, action: Callable[[], T], lane: Lane) -> T:
        def done() -> None:
            download.running -= 1
            self._on_idle(download)

        await trio.lowlevel.checkpoint_if_cancelled()  # What is counted from here on gets done.
        download.running += 1
        return await self._call(action, lane, _ignore, done)

    async def _call(
        self,
        action: Callable[[], T],
        lane: Lane,
        too_late: Callable[[T], object],
        done: Callable[[], object] = _ignore,
    ) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()  # The nursery may be closed by then.
        assert self._nursery is not None
        call = Call(action, too_late, done)
        self._nursery.start_soon(call.run, lane)
        return await call.result(lane)
