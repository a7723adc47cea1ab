"""Small files that are fetched before they are opened."""

import trio

from ossfs_resume.cache.store import CacheStore
from ossfs_resume.errors import Unreachable
from ossfs_resume.fetch import siblings
from ossfs_resume.fetch.readahead import AccessPattern
from ossfs_resume.fetch.settings import FetchSettings
from ossfs_resume.fetch.siblings import MOST_BYTES, ROOM_SHARE
from support.fetching import PART, Running, read
from support.waiting import PATIENCE_S


async def until_idle(engine) -> None:
    while engine.statistics().running or engine.statistics().queued:
        await trio.lowlevel.checkpoint()


async def fetched(engine, origin, count: int) -> None:
    """Until so many ranges were asked for, and all have come."""
    while len(origin.ranges) < count:
        await trio.lowlevel.checkpoint()
    await until_idle(engine)


async def test_what_is_predicted_is_there_when_its_reader_comes(
    origin, store: CacheStore, running: Running
) -> None:
    metas = [origin.put(f"f{number}", 1000 + number) for number in range(20)]
    async with running(origin, store) as engine:
        engine.predict(metas, is_whole=False)
        await fetched(engine, origin, 20)
        for meta in metas:
            download = await engine.open(meta)
            assert await read(engine, download, 0, meta.size) == origin.content[meta.key]
            engine.close(download)
        assert len(origin.ranges) == 20
        assert engine._siblings._bytes == 0


async def test_the_first_part_is_fetched_or_all_of_them(
    origin, store: CacheStore, running: Running
) -> None:
    first, whole = origin.put("first", 3 * PART), origin.put("whole", 3 * PART)
    async with running(origin, store) as engine:
        engine.predict([first], is_whole=False)
        engine.predict([whole], is_whole=True)
        await fetched(engine, origin, 2)
    assert sorted(origin.ranges) == [("first", 0, PART), ("whole", 0, 3 * PART)]


async def test_a_reader_who_comes_meanwhile_waits_for_the_same_bytes(
    origin, store: CacheStore, running: Running
) -> None:
    meta = origin.put("a", 1000)
    origin.allow = 10
    async with running(origin, store) as engine, trio.open_nursery() as nursery:
        engine.predict([meta], is_whole=False)
        await origin.started.wait()
        download = await engine.open(meta)
        nursery.start_soon(read, engine, download, 0, 1000)
        await trio.testing.wait_all_tasks_blocked(0.01)
        origin.release()
    assert len(origin.ranges) == 1


async def test_what_is_cached_is_at_hand_when_its_reader_comes(
    origin, store: CacheStore, running: Running, monkeypatch
) -> None:
    metas = [origin.put(f"f{number}", 1000 + number) for number in range(8)]
    async with running(origin, store) as engine:
        for meta in metas:
            download = await engine.open(meta)
            await engine.fill(download)
            engine.close(download)
    store.commit()
    questions: list[int] = []
    ask = store.acquire_many
    monkeypatch.setattr(
        store, "acquire_many", lambda versions: questions.append(len(versions)) or ask(versions)
    )
    async with running(origin, store) as engine:
        engine.predict(metas, is_whole=True)
        while not all(engine.find(meta) for meta in metas):
            await trio.lowlevel.checkpoint()
        for meta in metas:
            download = await engine.open(meta)
            pattern = AccessPattern()
            assert engine.read_at_once(download, pattern, 0, meta.size) == origin.content[meta.key]
            engine.close(download)
    assert questions == [8], "one for all of them"
    assert len(origin.ranges) == 8


async def test_what_nobody_opens_is_let_go(
    origin, store: CacheStore, running: Running, monkeypatch
) -> None:
    monkeypatch.setattr(siblings, "HELD_SECONDS", 0.01)
    meta = origin.put("a", 1000)
    async with running(origin, store) as engine:
        engine.predict([meta], is_whole=True)
        await fetched(engine, origin, 1)
        while engine._siblings._held:
            await trio.lowlevel.checkpoint()
        assert engine.find(meta) is None


async def test_what_is_given_up_before_it_began_is_never_asked_for(
    origin, store: CacheStore, running: Running
) -> None:
    blocker, metas = origin.put("blocker", 1000), [origin.put(f"f{n}", 1000) for n in range(5)]
    origin.allow = 10
    settings = FetchSettings(connections=1, timeout_s=PATIENCE_S)
    async with running(origin, store, settings) as engine, trio.open_nursery() as nursery:
        download = await engine.open(blocker)
        nursery.start_soon(read, engine, download, 0, 1000)
        await origin.started.wait()
        engine.predict(metas, is_whole=True)
        while engine.statistics().queued < len(metas):
            await trio.lowlevel.checkpoint()
        engine.give_up(metas)
        origin.release()
    assert len(origin.ranges) == 1


async def test_what_is_held_is_a_small_part_of_the_cache(
    origin, store: CacheStore, running: Running
) -> None:
    metas = [origin.put(f"f{number}", PART) for number in range(20)]
    settings = FetchSettings(room_bytes=5 * PART * ROOM_SHARE)
    async with running(origin, store, settings) as engine:
        engine.predict(metas, is_whole=True)
        assert engine._siblings._bytes == 5 * PART <= MOST_BYTES
        await fetched(engine, origin, 5)
    assert len(origin.ranges) == 5


async def test_a_disk_that_fails_gets_no_predictions(
    origin, store: CacheStore, running: Running
) -> None:
    async with running(origin, store) as engine:
        engine._disk.writing.failed(OSError("full"), trio.current_time())
        engine.predict([origin.put("a", 1000)], is_whole=True)
        assert engine._siblings._bytes == 0


async def test_a_file_that_cannot_be_fetched_is_asked_for_by_its_reader(
    origin, store: CacheStore, running: Running
) -> None:
    meta = origin.put("a", 1000)
    origin.failures.append(Unreachable("for a moment"))
    async with running(origin, store) as engine:
        engine.predict([meta], is_whole=True)
        await fetched(engine, origin, 1)
        download = await engine.open(meta)
        assert await read(engine, download, 0, 1000) == origin.content["a"]
    assert len(origin.ranges) == 2
