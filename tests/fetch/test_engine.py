"""Readers get exact bytes, each part is fetched once, and nobody waits for ever."""

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
import trio

from ossfs_resume.cache.store import CacheStore
from ossfs_resume.errors import (
    AccessDenied,
    CorruptObject,
    NoProgress,
    ObjectChanged,
    ServerFailed,
    ShuttingDown,
)
from ossfs_resume.fetch.engine import Engine, FetchSettings
from ossfs_resume.fetch.readahead import AccessPattern

Running = Callable[..., AbstractAsyncContextManager[Engine]]
PART = 64 * 1024
SIZE = 40 * PART + 777


async def read_all(engine: Engine, download, size: int = SIZE, step: int = 30_000) -> bytes:
    pattern, data = AccessPattern(), b""
    while len(data) < size:
        data += await engine.read(download, pattern, len(data), min(step, size - len(data)))
    return data


async def test_a_sequential_read_is_exact_and_fetches_each_byte_once(
    origin, store: CacheStore, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        assert await read_all(engine, download) == origin.content["a"]
        assert origin.fetched == SIZE
        assert download.entry.is_verified
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
        answers.append(await engine.read(download, AccessPattern(), 5 * PART, 1000))

    async with running(origin, store) as engine:
        download = await engine.open(meta)
        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(reader)
    assert answers == [origin.content["a"][5 * PART : 5 * PART + 1000]] * 200
    assert len(origin.ranges) == 1


async def test_two_opens_of_one_version_share_a_download(origin, store, running: Running) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        first, second = await engine.open(meta), await engine.open(meta)
        assert first is second
        engine.close(first)
        assert engine.find(meta) is first
        engine.close(second)
        assert engine.find(meta) is None


async def test_a_reader_is_answered_when_its_part_is_there_not_the_whole_request(
    origin, store, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        origin.allow = 3 * PART
        pattern = AccessPattern()
        data = await engine.read(download, pattern, 0, 2 * PART)
        assert data == origin.content["a"][: 2 * PART]
        assert origin.running > 0
        origin.release()


async def test_a_stalled_reader_gives_up_when_its_time_without_progress_is_up(
    origin, store, running: Running, caplog
) -> None:
    meta = origin.put("a", SIZE)
    origin.allow = 0
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        before = trio.current_time()
        with pytest.raises(NoProgress):
            await engine.read(download, AccessPattern(), 0, 10)
        assert 0.9 < trio.current_time() - before < 3
        # The kernel asks for a failed range again, page by page: the answer comes at once.
        with trio.fail_after(0.5):
            for _ in range(100):
                with pytest.raises(NoProgress):
                    await engine.read(download, AccessPattern(), 0, 10)
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1


async def test_progress_of_the_transfer_extends_a_readers_time(
    origin, store, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    settings = FetchSettings(timeout_s=0.5, part_bytes=PART, request_bytes=8 * PART)

    async def trickle() -> None:
        for allowed in range(1000, PART + 16_000, 8_000):
            origin.allow = allowed
            origin.changed.set()
            origin.changed = trio.Event()
            await trio.sleep(0.2)
        origin.release()

    origin.allow = 0
    async with running(origin, store, settings) as engine, trio.open_nursery() as nursery:
        download = await engine.open(meta)
        nursery.start_soon(trickle)
        before = trio.current_time()
        data = await engine.read(download, AccessPattern(), 0, 10)
        assert data == origin.content["a"][:10]
        assert trio.current_time() - before > 0.5


async def test_a_refused_range_fails_its_readers_at_once_with_the_origins_error(
    origin, store, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    origin.failures = [AccessDenied("no")]
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        with pytest.raises(AccessDenied):
            await engine.read(download, AccessPattern(), 30 * PART, 10)
        with pytest.raises(AccessDenied):
            await engine.read(download, AccessPattern(), 30 * PART, 10)
        assert len(origin.ranges) == 1
        # Another range is another question.
        assert await engine.read(download, AccessPattern(), 10 * PART, 10)


async def test_a_changed_object_serves_what_is_cached_and_refuses_the_rest(
    origin, store, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await engine.read(download, AccessPattern(), 30 * PART, 10)
        origin.failures = [ObjectChanged("412")]
        with pytest.raises(ObjectChanged):
            await engine.read(download, AccessPattern(), 20 * PART, 10)
        with pytest.raises(ObjectChanged):
            await engine.read(download, AccessPattern(), 10 * PART, 10)
        assert len(origin.ranges) == 2
        assert await engine.read(download, AccessPattern(), 30 * PART, 10)


async def test_confirm_tells_a_changed_object_and_costs_one_part(
    origin, store, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await engine.confirm(download)
        assert origin.fetched == PART
        origin.failures = [ObjectChanged("412")]
        with pytest.raises(ObjectChanged):
            await engine.confirm(download)


async def test_confirm_lets_pass_when_the_origin_does_not_answer(
    origin, store, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    origin.failures = [ServerFailed("503")]
    async with running(origin, store) as engine:
        await engine.confirm(await engine.open(meta))


async def test_fill_completes_and_proves_an_object_behind_its_readers(
    origin, store, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await engine.read(download, AccessPattern(), 7 * PART, PART)
        await engine.fill(download)
        assert download.entry.is_verified
        assert origin.fetched == SIZE
        assert origin.most_running <= 8


async def test_a_cancelled_fill_ends_its_transfers_and_keeps_what_arrived(
    origin, store, running: Running
) -> None:
    meta = origin.put("a", 200 * PART)
    origin.allow = 3 * PART
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.fill, download)
            await origin.started.wait()
            while engine.statistics().bytes_received < 3 * PART:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        with trio.fail_after(2):
            while engine.statistics().running:
                await trio.lowlevel.checkpoint()
        assert engine.statistics().queued == 0
        assert download.entry.present_count >= 2
        assert download.claims == {}


async def test_a_demanded_part_overtakes_the_queue_of_a_fill(
    origin, store, running: Running
) -> None:
    big = origin.put("big", 400 * PART)
    small = origin.put("small", 100)
    settings = FetchSettings(part_bytes=PART, connections=4, request_bytes=8 * PART)
    async with running(origin, store, settings) as engine, trio.open_nursery() as nursery:
        download = await engine.open(big)
        origin.allow = PART
        nursery.start_soon(engine.fill, download)
        await origin.started.wait()
        with trio.fail_after(5):
            other = await engine.open(small)
            assert await engine.read(other, AccessPattern(), 0, 100) == origin.content["small"]
        origin.release()


async def test_a_queued_part_is_pulled_forward(origin, store, running: Running) -> None:
    meta = origin.put("a", 200 * PART)
    settings = FetchSettings(part_bytes=PART, connections=4, request_bytes=8 * PART)
    async with running(origin, store, settings) as engine, trio.open_nursery() as nursery:
        download = await engine.open(meta)
        origin.allow = 0
        nursery.start_soon(engine.fill, download)
        await origin.started.wait()
        origin.allow = 4 * PART
        origin.changed.set()
        with trio.fail_after(5):
            data = await engine.read(download, AccessPattern(), 29 * PART, 10)
        assert data == origin.content["a"][29 * PART : 29 * PART + 10]
        assert ("a", 29 * PART, 32 * PART) in origin.ranges
        origin.release()
    assert origin.fetched == 200 * PART


async def test_an_object_with_a_wrong_crc_is_refused_discarded_and_fetched_anew(
    origin, store, running: Running, caplog
) -> None:
    meta = origin.put("a", SIZE)
    origin.wrong_crc = True
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        with pytest.raises(CorruptObject):
            await read_all(engine, download)
        with pytest.raises(CorruptObject):
            await engine.read(download, AccessPattern(), 0, 10)
        engine.close(download)
        origin.wrong_crc = False
        fresh = await engine.open(meta)
        assert fresh is not download
        assert await read_all(engine, fresh) == origin.content["a"]
        engine.close(fresh)


async def test_readers_are_let_go_when_the_mount_stops(origin, store, running: Running) -> None:
    meta = origin.put("a", SIZE)
    origin.allow = 0
    refused = []

    async def reader() -> None:
        with pytest.raises(ShuttingDown):
            await engine.read(download, AccessPattern(), 0, 10)
        refused.append(True)

    async with running(origin, store) as engine:
        download = await engine.open(meta)
        with trio.fail_after(0.9):
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(reader)
                await origin.started.wait()
                engine.stop()
        with pytest.raises(ShuttingDown):
            await engine.open(meta)
    assert len(refused) == 10


async def test_after_the_last_close_only_running_transfers_finish(
    origin, store, running: Running
) -> None:
    meta = origin.put("a", 400 * PART)
    settings = FetchSettings(part_bytes=PART, connections=4, request_bytes=PART)
    origin.allow = 10
    async with running(origin, store, settings) as engine:
        download = await engine.open(meta)
        with trio.move_on_after(0.1):
            await read_all(engine, download, 400 * PART)
        engine.close(download)
        origin.release()
        while engine.statistics().running:
            await trio.lowlevel.checkpoint()
        assert engine.find(meta) is None
        assert len(origin.ranges) <= 4


async def test_nothing_is_left_after_everything_is_closed(origin, store, running: Running) -> None:
    metas = [origin.put(f"k{i}", 5 * PART + i) for i in range(20)]
    async with running(origin, store) as engine:
        async with trio.open_nursery() as nursery:

            async def one(meta) -> None:
                download = await engine.open(meta)
                assert await read_all(engine, download, meta.size) == origin.content[meta.key]
                engine.close(download)

            for meta in metas:
                nursery.start_soon(one, meta)
        while engine.statistics().running:
            await trio.lowlevel.checkpoint()
        assert engine.statistics().queued == 0
        assert [meta for meta in metas if engine.find(meta)] == []


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


async def test_verifying_clears_what_the_disk_lost_and_proves_what_it_kept(
    origin, store: CacheStore, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await read_all(engine, download)
        assert await engine.verify(download) == 0
        assert download.entry.is_verified
        [path] = store._folder.path.glob("data/*/*")
        with path.open("r+b") as file:
            file.seek(3 * PART + 1)
            file.write(b"damage")
        assert await engine.verify(download) == 1
        assert download.entry.missing(0, 40) == [range(3, 4)]
        assert await read_all(engine, download) == origin.content["a"]
        assert download.entry.is_verified
        engine.close(download)
