"""A complete object is compared with the origin's CRC-64 before anybody gets it."""

import threading
from contextlib import closing
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from ossfs_resume.cache.entry import Entry
from ossfs_resume.cache.models import CacheSettings
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.errors import CorruptObject, ObjectChanged
from support.fetching import PART, SIZE, Running, read, read_all
from support.waiting import PATIENCE_S


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
            await read(engine, download, 0, 10)
        engine.close(download)
        origin.wrong_crc = False
        fresh = await engine.open(meta)
        assert fresh is not download
        assert await read_all(engine, fresh) == origin.content["a"]
        engine.close(fresh)


async def test_verifying_clears_what_the_disk_lost_and_proves_what_it_kept(
    origin, store: CacheStore, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await read_all(engine, download)
        assert await engine.verify(download) == 0
        assert download.entry.progress.is_verified
        [path] = store._folder.path.glob("data/*/*")
        with path.open("r+b") as file:
            file.seek(3 * PART + 1)
            file.write(b"damage")
        assert await engine.verify(download) == 1
        assert download.entry.missing(0, 40) == [range(3, 4)]
        assert await read_all(engine, download) == origin.content["a"]
        assert download.entry.progress.is_verified
        engine.close(download)


@pytest.mark.parametrize("is_damaged", [False, True])
async def test_parts_that_were_evicted_and_fetched_again_unasked_are_proven_with_the_rest(
    origin, store: CacheStore, running: Running, is_damaged: bool
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await read_all(engine, download)
        assert download.entry.remove_parts(SIZE, 2) > 0
        if is_damaged:
            origin.content["a"] = bytes(SIZE)
            with pytest.raises(CorruptObject):
                await engine.fill(download)
        else:
            await engine.fill(download)
            assert download.entry.progress.is_verified


async def test_a_proof_does_not_wait_for_threads_that_hang_elsewhere(
    origin, store: CacheStore, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    threads = trio.to_thread.current_default_thread_limiter()
    hanging = [object() for _ in range(int(threads.total_tokens))]
    for thread in hanging:
        threads.acquire_on_behalf_of_nowait(thread)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        with trio.fail_after(PATIENCE_S):
            assert await read_all(engine, download) == origin.content["a"]


async def test_a_disk_that_hangs_when_bad_data_are_removed_holds_up_nobody(
    origin, store: CacheStore, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ossfs_resume.fetch.disk.WRITE_PATIENCE_SECONDS", 0.2)
    discard, gate = store.discard, threading.Event()

    def slow(entry: Entry) -> None:
        gate.wait()
        discard(entry)

    monkeypatch.setattr(store, "discard", slow)
    meta = origin.put("a", SIZE)
    origin.wrong_crc = True
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        try:
            with trio.fail_after(PATIENCE_S), pytest.raises(CorruptObject):
                await read_all(engine, download)
        finally:
            gate.set()


async def test_nobody_is_told_of_bad_data_before_they_are_gone(
    origin, store: CacheStore, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is told opens it again, and must not find what was wrong once more."""
    discard, discarding, gate = store.discard, trio.Event(), threading.Event()

    def slow(entry: Entry) -> None:
        trio.from_thread.run_sync(discarding.set)
        gate.wait()
        discard(entry)

    monkeypatch.setattr(store, "discard", slow)
    meta = origin.put("a", SIZE)
    origin.wrong_crc = True
    told: list[object] = []

    async def read_one() -> None:
        with pytest.raises(CorruptObject):
            await read_all(engine, download)
        told.append(engine.find(meta))

    async with running(origin, store) as engine:
        download = await engine.open(meta)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read_one)
                await discarding.wait()
                nursery.start_soon(read_one)
                await wait_all_tasks_blocked()
                gate.set()
        finally:
            gate.set()
    assert told == [None, None]


async def test_an_old_version_that_another_process_completed_is_proven_and_read(
    origin, store: CacheStore, running: Running, tmp_path: Path
) -> None:
    meta = origin.put("a", 4 * PART)
    content = origin.content["a"]
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await read(engine, download, PART, 10)
        origin.failures = [ObjectChanged("412")]
        with pytest.raises(ObjectChanged):
            await read(engine, download, 3 * PART, 10)
        store.commit()
        with closing(CacheStore.open(CacheSettings(tmp_path, "bucket", PART))) as other:
            entry = other.acquire(download.entry.version)
            entry.write_parts(0, [[content[part * PART :][:PART]] for part in range(4)])
            other.commit()
            other.release(entry)
        download.entry.refresh(range(4))
        assert await read_all(engine, download) == content
        assert download.entry.progress.is_verified
