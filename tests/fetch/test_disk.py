"""The cache never causes an I/O error: not by refusing, not by failing, not by hanging."""

import errno
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from ossfs_resume.cache.data_file import DataFile
from ossfs_resume.cache.entry import Entry
from ossfs_resume.cache.models import CacheSettings
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.errors import CacheError, CorruptObject
from ossfs_resume.fetch import circuit_breaker as trouble_module
from ossfs_resume.fetch import disk as disk_module
from ossfs_resume.fetch.disk import (
    READ_PATIENCE_SECONDS,
    READS_AT_ONCE,
    WRITE_PATIENCE_SECONDS,
    WRITES_AT_ONCE,
)
from ossfs_resume.fetch.settings import FetchSettings
from support.fetching import PART, SIZE, read, read_all
from support.waiting import PATIENCE_S

HANGING_S = WRITE_PATIENCE_SECONDS + 1


class IllFile(DataFile):
    """A data file that fails as the test says, and tells ``pass_time`` when it hangs."""

    write_error = 0
    read_error = 0
    unexpected: Exception | None = None
    gate = threading.Event()
    writes = 0

    def pass_time(self, seconds: float) -> None:
        """See `ill_clock`."""

    def be_slow(self) -> None:
        """For tests to replace."""

    @classmethod
    def heal(cls) -> None:
        cls.write_error = cls.read_error = 0
        cls.unexpected = None
        cls.gate.set()

    def write(self, offset: int, chunks: Iterable[bytes]) -> None:
        IllFile.writes += 1
        self._hang()
        self._fail(self.write_error)
        if self.unexpected is not None:
            raise self.unexpected
        super().write(offset, chunks)

    def read(self, offset: int, length: int) -> bytes:
        self._hang()
        self.be_slow()
        self._fail(self.read_error)
        return super().read(offset, length)

    def read_nowait(self, offset: int, length: int) -> bytes | None:
        return None

    def _hang(self) -> None:
        if not self.gate.is_set():
            self.pass_time(HANGING_S)
            self.gate.wait()

    @staticmethod
    def _fail(number: int) -> None:
        if number:
            raise OSError(number, os.strerror(number))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CacheStore]:
    IllFile.heal()
    store = CacheStore.open(CacheSettings(tmp_path, "bucket", PART), data_file=IllFile)
    yield store
    IllFile.heal()
    store.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_module, "READ_PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(disk_module, "WRITE_PATIENCE_SECONDS", 0.2)


@pytest.fixture
def ill_clock(mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> MockClock:
    """Time passes only while the disk is ill, however busy the machine is."""

    def jump(self: IllFile, seconds: float) -> None:
        trio.from_thread.run_sync(mock_clock.jump, seconds)

    monkeypatch.setattr(IllFile, "pass_time", jump)
    return mock_clock


@pytest.fixture
def recovering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble_module, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(trouble_module, "CALM_SECONDS", 0.0)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES])
async def test_what_cannot_be_written_streams_through(
    origin, store, running, caplog, number: int
) -> None:
    meta = origin.put("a", SIZE)
    IllFile.write_error = number
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        assert await read_all(engine, download) == origin.content["a"]
        assert os.strerror(number).lower() in engine.cache_error.lower()
        assert origin.fetched <= SIZE + 8 * PART
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1


async def test_a_cache_that_fails_unexpectedly_is_gone_without(
    origin, store, running, caplog
) -> None:
    meta = origin.put("a", SIZE)
    IllFile.unexpected = RuntimeError("nobody thought of this")
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        assert await read_all(engine, download) == origin.content["a"]
        assert "nobody thought of this" in engine.cache_error
    assert any(record.exc_info for record in caplog.records)


async def test_it_is_kept_again_when_the_disk_is_well(
    origin, store, running, recovering: None, caplog
) -> None:
    caplog.set_level(logging.INFO)
    meta = origin.put("a", SIZE)
    IllFile.write_error = errno.ENOSPC
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        assert await read(engine, download, 0, 100) == origin.content["a"][:100]
        assert download.entry.progress.present_count == 0
        IllFile.heal()
        assert await read_all(engine, download) == origin.content["a"]
        assert download.entry.progress.present_count > 30
        assert engine.cache_error == ""
    assert [r.levelname for r in caplog.records if "cache can" in r.message] == ["WARNING", "INFO"]


async def test_an_object_that_only_passed_is_proven_all_the_same(origin, store, running) -> None:
    meta = origin.put("a", SIZE)
    origin.wrong_crc = True
    IllFile.write_error = errno.ENOSPC
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        with pytest.raises(CorruptObject):
            await read_all(engine, download)


async def test_an_object_that_only_passes_is_compared_at_its_end_and_not_after_each_write(
    origin, store, running, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta, compared = origin.put("a", SIZE), []
    prove = Entry.prove

    def count(entry: Entry, passed: Mapping[int, int]) -> bool | None:
        compared.append(len(passed))
        return prove(entry, passed)

    monkeypatch.setattr(Entry, "prove", count)
    IllFile.write_error = errno.ENOSPC
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        assert await read_all(engine, download) == origin.content["a"]
    assert compared == [41]


async def test_materializing_on_a_full_disk_fails_and_does_not_download_for_nothing(
    origin, store, running
) -> None:
    meta = origin.put("a", SIZE)
    IllFile.write_error = errno.ENOSPC
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        for _ in range(3):
            with trio.fail_after(PATIENCE_S), pytest.raises(CacheError):
                await engine.fill(download)
        assert origin.fetched <= SIZE
        assert await read_all(engine, download) == origin.content["a"]


async def test_a_part_that_cannot_be_read_back_is_fetched_again(origin, store, running) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await read_all(engine, download)
        IllFile.read_error = errno.EIO
        data = await read(engine, download, 5 * PART + 5, PART)
        assert data == origin.content["a"][5 * PART + 5 : 6 * PART + 5]
        assert origin.ranges[-1] == ("a", 5 * PART, 7 * PART)
        IllFile.heal()
        before = origin.fetched
        assert await read_all(engine, download) == origin.content["a"]
        assert origin.fetched == before


async def test_a_hanging_write_does_not_hold_up_the_reader(
    origin, store, running, impatient: None
) -> None:
    meta, other = origin.put("a", SIZE), origin.put("b", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        IllFile.gate.clear()
        with trio.fail_after(PATIENCE_S):
            assert await read_all(engine, download) == origin.content["a"]
            assert await read_all(engine, await engine.open(other)) == origin.content["b"]
        assert "did not answer" in engine.cache_error
        IllFile.heal()


@pytest.mark.parametrize("connections", [1, 8])
async def test_a_hanging_write_is_no_silence_of_the_origin(
    origin, store, running, ill_clock: MockClock, connections: int
) -> None:
    settings = FetchSettings(timeout_s=HANGING_S / 2, connections=connections)
    meta = origin.put("a", SIZE)
    answers = []

    async def read_one(part: int) -> None:
        answers.append(bytes(await read(engine, download, part * PART + 1, 10)))

    async with running(origin, store, settings) as engine:
        download = await engine.open(meta)
        IllFile.gate.clear()
        try:
            async with trio.open_nursery() as nursery:
                for part in (3, 20):
                    nursery.start_soon(read_one, part)
        finally:
            IllFile.heal()
    content = origin.content["a"]
    assert sorted(answers) == sorted(content[part * PART + 1 :][:10] for part in (3, 20))


async def test_what_waits_for_a_hanging_disk_does_not_pile_up_in_memory(
    origin, store, running, impatient: None, recovering: None
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        before = IllFile.writes
        IllFile.gate.clear()
        for part in range(0, 30, 2):
            data = await read(engine, download, part * PART + 1, 10)
            assert data == origin.content["a"][part * PART + 1 :][:10]
        IllFile.heal()
        with trio.fail_after(PATIENCE_S):
            while download.running:
                await trio.lowlevel.checkpoint()
        assert IllFile.writes - before <= WRITES_AT_ONCE


async def test_a_hanging_read_falls_back_to_the_origin(origin, store, running) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await read_all(engine, download)
        for lane in (engine._disk._reads, engine._disk._writes):
            lane.patience_s = 0.2  # not before: a healthy disk may be slow
        IllFile.gate.clear()
        with trio.fail_after(PATIENCE_S):
            data = await read(engine, download, 3 * PART, 100)
        assert data == origin.content["a"][3 * PART : 3 * PART + 100]
        engine.close(download)
        assert engine.find(meta) is download  # Its file must stay open under the stuck thread.
        IllFile.heal()
        with trio.fail_after(PATIENCE_S):
            while engine.find(meta) is not None:
                await trio.lowlevel.checkpoint()
        # Nothing was given up that a healthy disk still has.
        assert store.state(download.entry.version).is_complete


async def test_an_entry_that_another_process_replaced_streams_through_and_is_left_behind(
    origin, store, running, tmp_path: Path
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await read(engine, download, 0, 100)
        store.commit()
        with CacheStoreOf(tmp_path) as other:
            other.discard(other.acquire(download.entry.version))
        await read(engine, download, 10 * PART, 100)
        store.commit()
        assert not download.entry.progress.is_open
        assert await read_all(engine, download) == origin.content["a"]
        assert engine.cache_error == ""
        successor = await engine.open(meta)
        assert successor is not download
        assert await read_all(engine, successor) == origin.content["a"]
        assert successor.entry.progress.is_verified


class CacheStoreOf:
    """Another opener of the same store."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> CacheStore:
        self._store = CacheStore.open(CacheSettings(self._directory, "bucket", PART))
        return self._store

    def __exit__(self, *_: object) -> None:
        self._store.close()


async def test_a_cache_that_gives_no_entry_is_gone_without(origin, store, running) -> None:
    meta = origin.put("a", SIZE)

    def refuse(version: object) -> None:
        raise CacheError("database disk image is malformed")

    store.acquire_many = refuse
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        assert await read_all(engine, download) == origin.content["a"]
        assert "malformed" in engine.cache_error
        engine.close(download)


async def test_a_cancelled_read_leaves_nothing_open(origin, store, running) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await read_all(engine, download)
        with trio.CancelScope() as scope:
            scope.cancel()
            await read(engine, download, 0, 100)
        assert scope.cancelled_caught
        with trio.fail_after(PATIENCE_S):
            while engine.statistics().running:
                await trio.lowlevel.checkpoint()
        engine.close(download)
        assert engine.find(meta) is None


async def test_a_slow_disk_with_many_readers_is_not_a_hanging_one(
    origin, store, running, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them together take longer than anybody has patience, each of them an eighth.

    They step in time: a thread that a busy machine leaves waiting is not waiting for the disk.
    """
    meta = origin.put("a", SIZE)
    answers = 0
    step = partial(trio.from_thread.run_sync, mock_clock.jump, READ_PATIENCE_SECONDS / 8)
    in_step = threading.Barrier(READS_AT_ONCE, step, PATIENCE_S)

    async def read_one(part: int) -> None:
        nonlocal answers
        data = await read(engine, download, part * PART + 1, 100)
        answers += data == origin.content["a"][part * PART + 1 :][:100]

    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await read_all(engine, download)
        before = origin.fetched
        monkeypatch.setattr(IllFile, "be_slow", lambda _: in_step.wait())
        async with trio.open_nursery() as nursery:
            for number in range(10 * READS_AT_ONCE):
                nursery.start_soon(read_one, number % 40)
        assert (answers, engine.cache_error) == (10 * READS_AT_ONCE, "")
        assert origin.fetched == before
