"""Who opens a version shares its download; after the last, nothing is left."""

import threading
from collections.abc import Sequence

import pytest
import trio

from ossfs_resume.cache.entry import Entry
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.fetch.settings import FetchSettings
from support.fetching import PART, SIZE, Running, read_all
from support.waiting import PATIENCE_S


async def test_two_opens_of_one_version_share_a_download(origin, store, running: Running) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        first, second = await engine.open(meta), await engine.open(meta)
        assert first is second
        engine.close(first)
        assert engine.find(meta) is first
        engine.close(second)
        assert engine.find(meta) is None


async def test_after_the_last_close_only_running_transfers_finish(
    origin, store, running: Running
) -> None:
    meta = origin.put("a", 400 * PART)
    settings = FetchSettings(connections=4, request_bytes=PART)
    origin.allow = 10
    async with running(origin, store, settings) as engine:
        download = await engine.open(meta)
        with trio.move_on_after(0.1):
            await read_all(engine, download)
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
                assert await read_all(engine, download) == origin.content[meta.key]
                engine.close(download)

            for meta in metas:
                nursery.start_soon(one, meta)
        while engine.statistics().running:
            await trio.lowlevel.checkpoint()
        assert engine.statistics().queued == 0
        assert [meta for meta in metas if engine.find(meta)] == []


async def test_an_entry_that_nobody_waits_for_any_more_is_given_back(
    origin, store: CacheStore, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire, asked, gate = store.acquire_many, trio.Event(), threading.Event()

    def slow(versions: Sequence[ObjectVersion]) -> list[Entry]:
        trio.from_thread.run_sync(asked.set)
        gate.wait()
        return acquire(versions)

    monkeypatch.setattr(store, "acquire_many", slow)
    async with running(origin, store) as engine:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.open, origin.put("a", SIZE))
            await asked.wait()
            nursery.cancel_scope.cancel()
        gate.set()
        with trio.fail_after(PATIENCE_S):
            while not store.statistics().open_entries:
                await trio.lowlevel.checkpoint()
            while store.statistics().open_entries:
                await trio.to_thread.run_sync(store.commit)
