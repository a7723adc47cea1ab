"""A stream cut into parts loses nothing, whatever the pieces, and each part is written once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
import trio

from ossfs_resume.cache.crc64 import checksum
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.fetch.download import Download, Transfer
from ossfs_resume.fetch.part_writer import (
    BUFFER_BYTES,
    KEPT_BUFFERS,
    Buffers,
    Desk,
    PartWriter,
    Passed,
)
from ossfs_resume.fetch.rates import Bandwidth, Traffic
from ossfs_resume.fetch.scheduler import Priority
from ossfs_resume.fetch.thread_calls import Hanging
from ossfs_resume.oss.models import ObjectMeta
from support.fetching import PART

SIZE = 40 * PART + 777
CONTENT = b"".join(bytes([number]) * PART for number in range(41))[:SIZE]


@dataclass
class Book:
    """Takes parts, or not, and notes what it is told."""

    keeps: bool = True
    before: Callable[[], object] = lambda: None
    on_write: Callable[[], object] | None = None
    written: list[tuple[int, bytes]] = field(default_factory=list)
    views: list[memoryview] = field(default_factory=list)
    told: list[int] = field(default_factory=list)
    passed: list[Passed] = field(default_factory=list)
    demanded: set[int] = field(default_factory=set)
    buffers: Buffers = field(default_factory=Buffers)

    async def write(self, download: Download, first: int, parts: Sequence[memoryview]) -> bool:
        if self.on_write is not None:
            await self.on_write()
        self.views += parts
        if self.keeps:
            self.written += [(part, bytes(view)) for part, view in enumerate(parts, first)]
        return self.keeps

    def arrived(self, transfer: Transfer, parts: range, passed: Sequence[Passed]) -> None:
        self.told += parts
        self.passed += passed

    def desk(self) -> Desk:
        return Desk(
            self.buffers,
            self,
            Traffic(),
            Bandwidth(),
            arrived=self.arrived,
            on_new_rate=lambda: None,
            has_demands=lambda: bool(self.demanded),
            is_demanded=lambda download, part: part in self.demanded,
        )


@pytest.fixture
def transfer(store: CacheStore) -> Transfer:
    entry = store.acquire(ObjectVersion("a", "etag", SIZE))
    return Transfer(Download(ObjectMeta("a", SIZE, "etag", 0), entry), 0, 41, Priority.DEMAND)


async def put(sink: PartWriter, count: int) -> None:
    """The next bytes of CONTENT arrive."""
    while count:
        room = sink.room()[:count]
        room[:] = CONTENT[sink.position :][: len(room)]
        count -= len(room)
        await sink.filled(len(room))


@pytest.mark.parametrize("step", [1000, PART, PART + 1, BUFFER_BYTES - 1, SIZE])
async def test_parts_hold_exactly_their_bytes(transfer: Transfer, step: int) -> None:
    book = Book()
    sink = PartWriter(transfer, book.desk())
    while not sink.is_whole:
        await put(sink, min(step, SIZE - sink.position))
    assert book.told == list(range(32))  # the rest is kept back until all is well
    await sink.write(at_end=True)
    assert book.told == list(range(41))
    assert b"".join(data for _, data in book.written) == CONTENT
    assert [part for part, _ in book.written] == list(range(41))


async def test_what_somebody_waits_for_is_written_when_the_network_is_dry(
    transfer: Transfer,
) -> None:
    book = Book()
    sink = PartWriter(transfer, book.desk())
    await put(sink, 2 * PART + 10)
    await sink.dry()
    assert book.told == []
    transfer.waiters += 1
    await sink.dry()
    assert (book.told, sink.has_unwritten_parts) == ([0, 1], False)
    await put(sink, PART)
    await sink.dry()
    assert (book.told, [data for _, data in book.written]) == (
        [0, 1, 2],
        [CONTENT[part * PART :][:PART] for part in range(3)],
    )


async def test_what_is_not_kept_is_handed_on_in_memory_with_its_checksum(
    transfer: Transfer,
) -> None:
    book = Book(keeps=False)
    sink = PartWriter(transfer, book.desk())
    await put(sink, BUFFER_BYTES)
    assert [each.data for each in book.passed] == [
        CONTENT[part * PART :][:PART] for part in range(16)
    ]
    assert [each.crc64 for each in book.passed] == [checksum([each.data]) for each in book.passed]


async def test_what_must_be_had_in_memory_is_handed_on_though_the_disk_has_it(
    transfer: Transfer,
) -> None:
    book = Book(demanded={3})
    await put(PartWriter(transfer, book.desk()), BUFFER_BYTES)
    assert book.passed == [Passed(3, CONTENT[3 * PART :][:PART], None)]


async def test_a_buffer_that_is_left_to_a_hanging_thread_is_never_touched_again(
    transfer: Transfer,
) -> None:
    """The thread may write whatever the memory holds by then to the place of the first parts."""

    async def hang() -> None:
        if not book.views:
            book.views.append(sink.room().obj)
            raise Hanging("did not answer")

    book = Book(on_write=hang)
    sink = PartWriter(transfer, book.desk())
    transfer.waiters += 1
    await put(sink, PART + 99)
    left = sink._views(range(1))[0]
    await sink.dry()
    assert [each.part for each in book.passed] == [0]
    while not sink.is_whole:
        await put(sink, min(PART - 1, SIZE - sink.position))
    await sink.write(at_end=True)
    assert left == CONTENT[:PART]
    assert b"".join(data for _, data in book.written) == CONTENT[PART:]
    sink.close()
    fresh = [book.buffers.take(PART) for _ in range(9)]
    assert not any(buffer.obj is left.obj for buffer in fresh)


async def test_there_is_no_room_while_a_thread_writes(transfer: Transfer) -> None:
    gate, begun = trio.Event(), trio.Event()

    async def wait() -> None:
        begun.set()
        await gate.wait()

    book = Book(on_write=wait)
    sink = PartWriter(transfer, book.desk())
    await put(sink, PART + 5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sink.write)
        await begun.wait()
        assert (len(sink.room()), sink.is_writing) == (0, True)
        nursery.start_soon(sink.dry)
        gate.set()
    assert len(sink.room()) > 0


async def test_what_a_cancelled_write_did_not_finish_is_written_again(transfer: Transfer) -> None:
    async def cancel() -> None:
        book.on_write = None
        scope.cancel()
        await trio.lowlevel.checkpoint()

    book = Book(on_write=cancel)
    sink = PartWriter(transfer, book.desk())
    await put(sink, 2 * PART)
    with trio.CancelScope() as scope:
        await sink.write()
    assert (scope.cancelled_caught, book.told) == (True, [])
    await sink.write()
    assert book.told == [0, 1]


def test_buffers_are_used_again_and_few_are_kept() -> None:
    buffers = Buffers()
    first = [buffers.take(PART) for _ in range(3 * KEPT_BUFFERS)]
    for buffer in first[1:]:
        buffers.give_back(buffer)
    assert buffers.take(PART) is first[-1]
    buffers.give_back(first[-1])
    buffers.give_back(first[0])
    assert repr(buffers) == f"<Buffers 0 in use, {KEPT_BUFFERS} free>"
    assert len(buffers.take(4 * BUFFER_BYTES)) == 4 * BUFFER_BYTES


def test_a_writer_that_is_kept_by_an_error_keeps_no_memory(transfer: Transfer) -> None:
    sink = PartWriter(transfer, Book().desk())
    assert len(sink.room()) == BUFFER_BYTES
    sink.close()
    assert len(sink.room()) == 0
