"""A part that another process is fetching is waited for, but not for ever."""

from pathlib import Path

import pytest
import trio
import trio.testing

from ossfs_resume.cache.models import CacheSettings, ObjectVersion
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.fetch.disk import Disk
from ossfs_resume.fetch.download import Download, Transfer
from ossfs_resume.fetch.other_processes import OtherProcesses
from ossfs_resume.fetch.scheduler import Priority
from ossfs_resume.fetch.settings import FetchSettings
from ossfs_resume.oss.models import ObjectMeta
from support.fetching import read
from support.waiting import PATIENCE_S

PART = 64 * 1024
SIZE = 4 * PART


@pytest.fixture
def other(tmp_path: Path, store: CacheStore):
    """Another owner of the same store."""
    other = CacheStore.open(CacheSettings(tmp_path, "bucket", PART))
    yield other
    other.close()


async def test_what_another_is_fetching_is_read_when_it_is_there(
    origin, store, other: CacheStore, running
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        version = download.entry.version
        assert other.claims.take(version, range(4))
        theirs = other.acquire(version)
        answers: list[bytes] = []

        async def read_one() -> None:
            answers.append(bytes(await read(engine, download, 2 * PART, 100)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_one)
            await trio.testing.wait_all_tasks_blocked()
            theirs.write_parts(0, [[origin.content["a"][p * PART :][:PART]] for p in range(4)])
            other.commit()
        assert answers == [origin.content["a"][2 * PART : 2 * PART + 100]]
        assert origin.ranges == []
        other.release(theirs)


async def test_without_progress_the_part_is_fetched_here(
    origin, store, other: CacheStore, running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ossfs_resume.fetch.other_processes.PATIENCE_SECONDS", 0.3)
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        assert other.claims.take(download.entry.version, range(4))
        with trio.fail_after(PATIENCE_S):
            data = await read(engine, download, PART, PART)
        assert data == origin.content["a"][PART : 2 * PART]


async def test_a_claim_that_is_given_up_is_taken_over(
    origin, store, other: CacheStore, running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ossfs_resume.fetch.other_processes.PATIENCE_SECONDS", 10 * PATIENCE_S)
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        assert other.claims.take(download.entry.version, range(4))
        other.claims.release(download.entry.version, range(4))
        with trio.fail_after(PATIENCE_S):
            data = await read(engine, download, 0, SIZE)
        assert data == origin.content["a"]
        assert not other.claims.take(download.entry.version, range(1))


async def test_those_who_waited_for_another_do_not_all_start_at_once(
    origin, store, other: CacheStore, running
) -> None:
    settings = FetchSettings(timeout_s=PATIENCE_S, connections=4)
    meta = origin.put("a", 40 * PART)
    answers = 0

    async def read_one(part: int) -> None:
        nonlocal answers
        data = await read(engine, download, part * PART + 1, 10)
        answers += data == origin.content["a"][part * PART + 1 :][:10]

    async with running(origin, store, settings) as engine, trio.open_nursery() as nursery:
        download = await engine.open(meta)
        assert other.claims.take(download.entry.version, range(40))
        for part in range(0, 40, 2):
            nursery.start_soon(read_one, part)
        while len(download.claims) < 20:
            await trio.lowlevel.checkpoint()
        other.claims.release(download.entry.version, range(40))
    assert answers == 20
    assert origin.most_running <= 4


async def test_a_transfer_that_waits_for_its_place_again_can_be_given_up(
    origin, store, other: CacheStore, running
) -> None:
    settings = FetchSettings(timeout_s=PATIENCE_S, connections=2, request_bytes=PART)
    meta, busy = origin.put("a", SIZE), origin.put("b", SIZE)
    origin.allow = 10
    async with running(origin, store, settings) as engine, trio.open_nursery() as nursery:
        download, stalled = await engine.open(meta), await engine.open(busy)
        assert other.claims.take(download.entry.version, range(4))
        async with trio.open_nursery() as filling:
            filling.start_soon(engine.fill, download)
            while not download.claims or engine.statistics().queued:
                await trio.lowlevel.checkpoint()
            for part in range(4):
                nursery.start_soon(read, engine, stalled, part * PART + 1, 10)
            await origin.started.wait()
            other.claims.release(download.entry.version, range(4))
            while not any(t.is_queued and t.place is not None for t in download.claims.values()):
                await trio.lowlevel.checkpoint()
            filling.cancel_scope.cancel()
        engine.close(download)
        with trio.fail_after(PATIENCE_S):
            while engine.find(meta) is not None:
                await trio.lowlevel.checkpoint()
        assert all(key == "b" for key, _, _ in origin.ranges)
        origin.release()


async def test_a_claim_that_is_given_up_late_does_not_take_a_newer_one_with_it(
    store: CacheStore, other: CacheStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ossfs_resume.fetch.other_processes.LINGER_SECONDS", 0)
    version = ObjectVersion("a", "etag", SIZE)
    download = Download(ObjectMeta("a", SIZE, "etag", 0), store.acquire(version))
    neighbours = OtherProcesses(store.claims, Disk(on_idle=lambda download: None))
    failed = Transfer(download, 0, 4, Priority.DEMAND)
    again = Transfer(download, 2, 3, Priority.DEMAND)
    neighbours.claim(failed)
    neighbours.claim(again)
    neighbours.release(version, failed.parts)
    assert not other.claims.take(version, range(2, 3))
    assert other.claims.take(version, range(2))
    assert other.claims.take(version, range(3, 4))
    neighbours.release(version, again.parts)
    assert other.claims.take(version, range(2, 3))
    store.release(download.entry)
