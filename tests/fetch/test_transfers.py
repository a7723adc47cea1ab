"""What a reader waits for goes before what is fetched in the background."""

import pytest
import trio

from ossfs_resume.errors import BadAnswer
from ossfs_resume.fetch.settings import FetchSettings
from support.fetching import PART, SIZE, Running, read
from support.waiting import PATIENCE_S


async def test_a_demanded_part_overtakes_the_queue_of_a_fill(
    origin, store, running: Running
) -> None:
    big = origin.put("big", 400 * PART)
    small = origin.put("small", 100)
    settings = FetchSettings(connections=4, request_bytes=8 * PART)
    async with running(origin, store, settings) as engine, trio.open_nursery() as nursery:
        download = await engine.open(big)
        origin.allow = PART
        nursery.start_soon(engine.fill, download)
        await origin.started.wait()
        with trio.fail_after(PATIENCE_S):
            other = await engine.open(small)
            assert await read(engine, other, 0, 100) == origin.content["small"]
        origin.release()


async def test_a_queued_part_is_pulled_forward(origin, store, running: Running) -> None:
    meta = origin.put("a", 200 * PART)
    settings = FetchSettings(connections=4, request_bytes=8 * PART)
    async with running(origin, store, settings) as engine, trio.open_nursery() as nursery:
        download = await engine.open(meta)
        origin.allow = 0
        nursery.start_soon(engine.fill, download)
        await origin.started.wait()
        origin.allow = 4 * PART
        origin.changed.set()
        with trio.fail_after(PATIENCE_S):
            data = await read(engine, download, 29 * PART, 10)
        assert data == origin.content["a"][29 * PART : 29 * PART + 10]
        assert ("a", 29 * PART, 32 * PART) in origin.ranges
        origin.release()
    assert origin.fetched == 200 * PART


async def test_an_unexpected_error_fails_its_range_and_not_the_mount(
    origin, store, running: Running, caplog
) -> None:
    meta = origin.put("a", SIZE)
    origin.failures = [ZeroDivisionError("division by zero")]
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        with pytest.raises(BadAnswer, match="division by zero"):
            await read(engine, download, 30 * PART, 10)
        data = await read(engine, download, 10 * PART, 10)
        assert data == origin.content["a"][10 * PART : 10 * PART + 10]
    assert any(record.exc_info for record in caplog.records)


async def test_an_answer_that_ends_early_is_an_error_and_is_not_asked_for_in_a_ring(
    origin, store, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    origin.ends_after = 3 * PART - 1
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        with trio.fail_after(PATIENCE_S), pytest.raises(BadAnswer, match="fewer bytes"):
            await read(engine, download, 24 * PART, 4 * PART)
        assert len(origin.ranges) == 1
        # What came before the end is good.
        data = await read(engine, download, 24 * PART, 2 * PART)
        assert data == origin.content["a"][24 * PART : 26 * PART]


async def test_a_reader_overtakes_what_runs_in_the_background_of_a_link_that_turned_slow(
    origin, store, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    big, small = origin.put("big", 400 * PART), origin.put("small", 100)
    affords = 8
    monkeypatch.setattr("ossfs_resume.fetch.transfers.concurrency", lambda *_: affords)
    settings = FetchSettings(connections=8, request_bytes=8 * PART)
    async with running(origin, store, settings) as engine, trio.open_nursery() as nursery:
        download, other = await engine.open(big), await engine.open(small)
        origin.allow = 100
        nursery.start_soon(engine.fill, download)
        while origin.running < 6:
            await trio.lowlevel.checkpoint()
        affords = 2
        with trio.fail_after(PATIENCE_S):
            assert await read(engine, other, 0, 100) == origin.content["small"]
        origin.release()
