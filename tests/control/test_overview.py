"""What is said of a directory: the sum of what is cached below it, and what the jobs do there."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from ossfs_resume.cache.models import CacheSettings, ObjectVersion, Totals
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.control.actions import Care
from ossfs_resume.control.jobs import Jobs, JobsBelow
from ossfs_resume.control.overview import Overview, progress, state
from ossfs_resume.errors import AccessDenied, Unreachable
from support.waiting import PATIENCE_S

PART = 65536
IDLE = JobsBelow(0, 0, 0, None)
SOME = Totals(objects=2, complete=1, parts=4, parts_present=3)
ALL = Totals(objects=2, complete=2, verified=1, parts=4, parts_present=4)


@pytest.mark.parametrize(
    ("totals", "jobs", "expected"),
    [
        (Totals(), IDLE, "remote"),
        (Totals(objects=1, parts=4), IDLE, "remote"),
        (SOME, IDLE, "partial"),
        (ALL, IDLE, "complete"),
        (Totals(objects=1, complete=1, verified=1, parts=1, parts_present=1), IDLE, "verified"),
        (ALL, JobsBelow(1, 0, 0, None), "queued"),
        (ALL, JobsBelow(1, 1, 3, None), "fetching"),
        (ALL, JobsBelow(0, 0, 1, None), "failed"),
    ],
)
def test_one_word_for_all_of_it(totals: Totals, jobs: JobsBelow, expected: str) -> None:
    assert state(totals, jobs) == expected


def test_nothing_is_not_all_of_it() -> None:
    assert progress(0, 0, is_whole=False) == "0/0 parts 0.0%"
    assert progress(3, 4) == "3/4 parts 75.0%"


class NothingToVerify:
    def newest_error(self, prefix: str) -> None:
        return None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CacheStore]:
    """``d/a`` whole, half of ``d/b``, and neighbours of ``d/`` that are not below it."""
    store = CacheStore.open(CacheSettings(tmp_path, "bucket", PART))
    for key, parts in (("d/a", 2), ("d/b", 1), ("d0", 2), ("d", 2), ("e/x", 2)):
        entry = store.acquire(ObjectVersion(key, "E", 2 * PART))
        entry.write_parts(0, [[bytes(PART)]] * parts)
        store.release(entry)
    store.commit()
    yield store
    store.close()


def overview(store: CacheStore, jobs: Jobs) -> Overview:
    care: Care = NothingToVerify()  # type: ignore[assignment]
    return Overview(store.keeper, jobs, care)


async def test_the_sum_of_what_is_below(store: CacheStore, make_bucket, engine, rows) -> None:
    below = overview(store, Jobs(make_bucket(), engine, rows))
    status = json.loads(await below.get("d/", "status"))
    assert (status["objects"], status["complete"]) == (2, 1)
    assert (status["parts_present"], status["parts"]) == (3, 4)
    assert (status["bytes_present"], status["size"]) == (3 * PART, 4 * PART)
    assert await below.get("d/", "progress") == "3/4 parts 75.0%"
    assert await below.get("d/", "state") == "partial"
    assert await below.get("e/", "state") == "complete"
    assert await below.get("nowhere/", "state") == "remote"
    assert await below.get("d/", "error") == ""
    assert json.loads(await below.get("", "status"))["objects"] == 5


async def test_what_the_jobs_do_there(
    store: CacheStore, make_bucket, engine, rows, running
) -> None:
    engine.hold = True
    async with running(make_bucket("d/a", "d/b", "e/x"), engine, rows) as jobs:
        below = overview(store, jobs)
        await jobs.add("d/")
        with trio.fail_after(PATIENCE_S):
            while await below.get("d/", "state") != "fetching":
                await trio.lowlevel.checkpoint()
        assert await below.get("", "state") == "fetching"
        assert await below.get("e/", "state") == "complete"
        assert json.loads(await below.get("d/", "status"))["jobs"]["running"] == 1
        assert await below.get("d/deeper/", "state") == "queued"


async def test_an_error_below_is_the_directorys(
    store: CacheStore, make_bucket, engine, rows, running
) -> None:
    engine.failures = [AccessDenied("no"), Unreachable("down")]
    async with running(make_bucket("d/a", "e/x"), engine, rows) as jobs:
        below = overview(store, jobs)
        await jobs.add("d/a")
        with trio.fail_after(PATIENCE_S):
            while rows.rows:
                await trio.lowlevel.checkpoint()
        assert await below.get("d/", "state") == "failed"
        assert await below.get("d/", "error") == await below.get("", "error") == "no"
        assert await below.get("e/", "error") == ""
        await jobs.add("e/x")
        with trio.fail_after(PATIENCE_S):
            while await below.get("e/", "error") != "down":
                await trio.lowlevel.checkpoint()
        await jobs.cancel("")
        assert await below.get("d/", "error") == await below.get("e/", "error") == ""
