"""Receiving in a thread: the same bytes, and a disk that hangs holds up nobody but itself."""

import os
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from ossfs_resume.cache.crc64 import checksum
from ossfs_resume.cache.data_file import DataFile
from ossfs_resume.cache.models import CacheSettings
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.errors import CorruptObject, Unreachable
from ossfs_resume.fetch import receiver_thread
from ossfs_resume.fetch.engine import Engine
from ossfs_resume.fetch.receiver_thread import MOST_HANGING
from ossfs_resume.fetch.settings import FetchSettings
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.oss.range_reader import Sink
from support.fetching import PART, SIZE, read, read_all
from support.waiting import PATIENCE_S

SETTINGS = FetchSettings(
    timeout_s=PATIENCE_S, connections=8, request_bytes=8 * PART, read_ahead_bytes=64 * PART
)


class GatedFile(DataFile):
    """A data file whose writes wait while the gate is shut."""

    gate = threading.Event()
    begun = 0

    def write(self, offset: int, chunks: Iterable[bytes | memoryview]) -> None:
        GatedFile.begun += 1
        self.gate.wait(PATIENCE_S)
        super().write(offset, chunks)


class Origin:
    """Objects by key, for any event loop."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.asked = 0
        self.fails = False
        self.wrong_crc = False

    def put(self, key: str, size: int = SIZE) -> ObjectMeta:
        self.content[key] = os.urandom(size)
        return ObjectMeta(key, size, f"etag-{key}", 0)

    def open_reader(self) -> "Origin":
        return self

    async def read_range(self, meta: ObjectMeta, stop: int, sink: Sink) -> int | None:
        self.asked += 1
        data = self.content[meta.key]
        await trio.lowlevel.checkpoint()
        if self.fails:
            raise Unreachable("gone")
        while sink.position < stop:
            room = sink.room()[: min(50_000, stop - sink.position)]
            if not room:
                await sink.dry()
                continue
            room[:] = data[sink.position :][: len(room)]
            await sink.filled(len(room))
            await sink.dry()
            await trio.lowlevel.checkpoint()
        return checksum([data]) ^ self.wrong_crc


@pytest.fixture
def origin() -> Origin:
    return Origin()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CacheStore]:
    GatedFile.gate.set()
    store = CacheStore.open(CacheSettings(tmp_path, "bucket", PART), data_file=GatedFile)
    yield store
    GatedFile.gate.set()
    store.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_thread, "WRITE_PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(receiver_thread, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(receiver_thread, "GRACE_SECONDS", 0.1)


@asynccontextmanager
async def running(origin: Origin, store: CacheStore) -> AsyncIterator[Engine]:
    engine = Engine(origin, store, SETTINGS, in_thread=True)
    with trio.fail_after(2 * PATIENCE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(engine.run)
            yield engine
            nursery.cancel_scope.cancel()


async def test_what_is_received_in_a_thread_is_exact_kept_and_proven(origin, store) -> None:
    metas = [origin.put(name) for name in "abc"]
    async with running(origin, store) as engine, trio.open_nursery() as nursery:

        async def read_one(meta: ObjectMeta) -> None:
            download = await engine.open(meta)
            assert await read_all(engine, download) == origin.content[meta.key]
            assert download.entry.progress.is_verified
            engine.close(download)

        for meta in metas:
            nursery.start_soon(read_one, meta)


async def test_a_failure_comes_to_the_reader(origin, store) -> None:
    meta = origin.put("a")
    origin.fails = True
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        with pytest.raises(Unreachable):
            await read(engine, download, 0, 10)


async def test_the_read_that_completes_an_object_is_answered_after_the_proof(origin, store) -> None:
    meta = origin.put("a")
    origin.wrong_crc = True
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        with pytest.raises(CorruptObject):
            await read_all(engine, download)


async def test_a_cancelled_fill_keeps_what_has_come(origin, store) -> None:
    meta = origin.put("a", 60 * PART)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        with trio.CancelScope() as scope:

            async def cancel() -> None:
                while not download.entry.progress.present_count:
                    await trio.lowlevel.checkpoint()
                scope.cancel()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(cancel)
                await engine.fill(download)
        while engine.statistics().running:
            await trio.lowlevel.checkpoint()
        assert not download.claims
        assert await read_all(engine, download) == origin.content["a"]


async def test_a_write_that_hangs_holds_up_neither_loop_nor_readers(
    origin, store, impatient: None
) -> None:
    meta, other = origin.put("a"), origin.put("b")
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        GatedFile.gate.clear()
        assert await read_all(engine, download) == origin.content["a"]
        assert await read_all(engine, await engine.open(other)) == origin.content["b"]
        assert "did not answer" in engine.cache_error
        engine.close(download)
        assert engine.find(meta) is download  # its file stays open under the hanging thread
        GatedFile.gate.set()
        while engine.find(meta) is not None:
            await trio.lowlevel.checkpoint()
        again = await engine.open(meta)
        assert await read_all(engine, again) == origin.content["a"]


async def test_two_hang_at_most_and_then_nothing_is_written(
    origin, store, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ossfs_resume.fetch.circuit_breaker.RETRY_SECONDS", 0.0)
    async with running(origin, store) as engine:
        GatedFile.gate.clear()
        before = GatedFile.begun
        for name in "abcdef":
            download = await engine.open(origin.put(name))
            assert await read_all(engine, download) == origin.content[name]
        receivers = engine._pool._receiver
        assert receivers._hanging == MOST_HANGING
        assert GatedFile.begun - before <= MOST_HANGING * receiver_thread.THREADS
        GatedFile.gate.set()
        while receivers._hanging:
            await trio.lowlevel.checkpoint()


async def test_what_comes_late_of_a_receiver_that_was_given_up_says_nothing_of_the_disk(
    origin, store, impatient: None
) -> None:
    async with running(origin, store) as engine:
        download = await engine.open(origin.put("a"))
        GatedFile.gate.clear()
        assert await read_all(engine, download) == origin.content["a"]
        trouble, receivers = engine._disk.writing, engine._pool._receiver
        assert receivers._hanging
        failures = trouble.failures
        GatedFile.gate.set()
        while receivers._hanging:
            await trio.lowlevel.checkpoint()
        assert (trouble.failures, trouble._works) == (failures, False)


async def test_the_end_does_not_wait_for_a_disk_that_hangs(origin, store, impatient: None) -> None:
    meta = origin.put("a")
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        GatedFile.gate.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.fill, download)
            before = GatedFile.begun
            while GatedFile.begun == before:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert not GatedFile.gate.is_set()


async def test_slow_writes_go_to_threads_so_that_others_are_received(
    origin, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver_thread, "SLOW_SECONDS", -1.0)
    threads: set[str] = set()
    write = GatedFile.write

    def note(self: GatedFile, offset: int, chunks: Iterable[bytes | memoryview]) -> None:
        threads.add(threading.current_thread().name)
        write(self, offset, chunks)

    monkeypatch.setattr(GatedFile, "write", note)
    async with running(origin, store) as engine:
        download = await engine.open(origin.put("a", 100 * PART))
        assert await read_all(engine, download) == origin.content["a"]
    assert "receiver" in threads
    assert len(threads) > 1


async def test_a_receiver_that_ends_unexpectedly_is_replaced(
    origin, store, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    meta = origin.put("a")
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        thread = engine._pool._receiver._thread
        await thread._ready.wait()
        thread._loop._token.run_sync_soon(lambda: 1 // 0)
        assert await read_all(engine, download) == origin.content["a"]
    assert "the receiver failed unexpectedly" in caplog.text
