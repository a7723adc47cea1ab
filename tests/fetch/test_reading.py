"""Readers get exact bytes, and each part is fetched once."""

import trio

from ossfs_resume.cache.store import CacheStore
from ossfs_resume.fetch.readahead import AccessPattern
from support.fetching import PART, SIZE, Running, read_all


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
        data = await engine.read(download, AccessPattern(), 20 * PART - 10, 20)
        assert data == origin.content["a"][20 * PART - 10 : 20 * PART + 10]
        assert origin.ranges == [("a", 19 * PART, 21 * PART)]


async def test_what_is_cached_is_not_fetched_again(origin, store, running: Running) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await engine.read(download, AccessPattern(), 3 * PART, PART)
        await read_all(engine, download)
        assert origin.fetched == SIZE
        await read_all(engine, download)
        assert origin.fetched == SIZE


async def test_many_readers_of_one_range_cause_one_request(origin, store, running: Running) -> None:
    meta = origin.put("a", SIZE)
    answers: list[bytes] = []

    async def reader() -> None:
        answers.append(bytes(await engine.read(download, AccessPattern(), 5 * PART, 1000)))

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
