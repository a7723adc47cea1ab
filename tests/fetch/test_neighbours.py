"""A part that another process is fetching is waited for, but not for ever."""

from pathlib import Path

import pytest
import trio
import trio.testing

from ossfs_resume.cache.models import CacheSettings
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.fetch.readahead import AccessPattern

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

        async def read() -> None:
            answers.append(await engine.read(download, AccessPattern(), 2 * PART, 100))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            theirs.write_parts(0, [[origin.content["a"][p * PART :][:PART]] for p in range(4)])
            other.commit()
        assert answers == [origin.content["a"][2 * PART : 2 * PART + 100]]
        assert origin.ranges == []
        other.release(theirs)


async def test_without_progress_the_part_is_fetched_here(
    origin, store, other: CacheStore, running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ossfs_resume.fetch.neighbours.PATIENCE_SECONDS", 0.3)
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        assert other.claims.take(download.entry.version, range(4))
        with trio.fail_after(3):
            data = await engine.read(download, AccessPattern(), PART, PART)
        assert data == origin.content["a"][PART : 2 * PART]


async def test_a_claim_that_is_given_up_is_taken_over(
    origin, store, other: CacheStore, running
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        assert other.claims.take(download.entry.version, range(4))
        other.claims.release(download.entry.version, range(4))
        with trio.fail_after(1):
            data = await engine.read(download, AccessPattern(), 0, SIZE)
        assert data == origin.content["a"]
        assert not other.claims.take(download.entry.version, range(1))
