"""Readers get exact bytes, and each part is fetched once."""

from pathlib import Path

import pytest
import trio

from ossfs_resume.cache.datafile import DataFile
from ossfs_resume.cache.models import CacheSettings
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.errors import CacheError
from support.fetching import PART, SIZE, Running, read, read_all


async def test_a_sequential_read_is_exact_and_fetches_each_byte_once(
    origin, store: CacheStore, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        assert await read_all(engine, download) == origin.content["a"]
        assert origin.fetched == SIZE
        assert download.entry.progress.is_verified
        engine.close(download)


async def test_a_random_read_costs_its_parts_only(origin, store, running: Running) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        data = await read(engine, download, 20 * PART - 10, 20)
        assert data == origin.content["a"][20 * PART - 10 : 20 * PART + 10]
        assert origin.ranges == [("a", 19 * PART, 21 * PART)]


async def test_what_is_cached_is_not_fetched_again(origin, store, running: Running) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await read(engine, download, 3 * PART, PART)
        await read_all(engine, download)
        assert origin.fetched == SIZE
        await read_all(engine, download)
        assert origin.fetched == SIZE


async def test_many_readers_of_one_range_cause_one_request(origin, store, running: Running) -> None:
    meta = origin.put("a", SIZE)
    answers: list[bytes] = []

    async def reader() -> None:
        answers.append(bytes(await read(engine, download, 5 * PART, 1000)))

    async with running(origin, store) as engine:
        download = await engine.open(meta)
        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(reader)
    assert answers == [origin.content["a"][5 * PART : 5 * PART + 1000]] * 200
    assert len(origin.ranges) == 1


async def test_parts_removed_beside_a_reader_are_fetched_again(
    origin, store: CacheStore, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await read_all(engine, download)
        assert download.entry.remove_parts(SIZE, 2) > 0
        assert download.entry.missing(0, 20)
        assert await read_all(engine, download) == origin.content["a"]
        engine.close(download)


async def test_while_the_disk_is_in_trouble_what_it_has_is_compared_at_each_read(
    origin, store: CacheStore, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await read_all(engine, download)
        before = origin.fetched
        engine._disk.writing.failed(CacheError("no room"), trio.current_time())

        def trust(offset: int, length: int) -> bytes:
            raise AssertionError("served unchecked")

        monkeypatch.setattr(download.entry, "read_nowait", trust)
        assert await read_all(engine, download) == origin.content["a"]
        assert origin.fetched == before
        engine.close(download)


class LyingFile(DataFile):
    """Gives zeros for everything."""

    def read(self, offset: int, length: int) -> bytes:
        return bytes(length)

    def read_nowait(self, offset: int, length: int) -> None:
        return None


async def test_what_is_damaged_each_time_is_read_from_memory(
    origin, tmp_path: Path, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    store = CacheStore.open(CacheSettings(tmp_path, "bucket", PART), data_file=LyingFile)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        for _ in range(2):
            data = await read(engine, download, 5 * PART, 2 * PART)
            assert data == origin.content["a"][5 * PART : 7 * PART]
        engine.close(download)
    store.close()
