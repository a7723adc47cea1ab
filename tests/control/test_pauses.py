"""Jobs that are paused wait, whatever happens meanwhile; and jobs that say how far they are."""

import json

import pytest
import trio
import trio.testing

from ossfs_resume.control.job import Job, JobReport
from ossfs_resume.control.jobs import LOOK_SECONDS, Jobs
from ossfs_resume.errors import AccessDenied, InUse, Unreachable
from support.threads import answer_without_threads
from support.waiting import PATIENCE_S


async def until(condition) -> None:
    with trio.fail_after(PATIENCE_S):
        while not condition():
            await trio.lowlevel.checkpoint()


def report(jobs: Jobs, path: str) -> JobReport:
    found = jobs.report(path)
    assert found is not None
    return found


async def test_a_paused_job_stops_keeps_its_row_and_goes_on_when_resumed(
    make_bucket, engine, rows, running
) -> None:
    engine.hold = True
    async with running(make_bucket("d/a"), engine, rows) as jobs:
        await jobs.add("d/")
        await until(lambda: jobs.state("d/a") == "fetching")
        await jobs.pause("d/")
        await until(lambda: not engine.opened)
        assert jobs.state("d/a") == "paused"
        assert jobs.below("").paused == 1
        assert report(jobs, "d/").state == "paused"
        assert (list(rows.rows.values()), rows.paused) == (["d/"], {"d/"})
        engine.hold = False
        await jobs.resume("")
        await until(lambda: not rows.rows)
    assert [meta.key for meta in engine.filled] == ["d/a"]


async def test_a_paused_job_stays_paused_in_the_next_process(
    make_bucket, engine, rows, running
) -> None:
    rows.add_job("a")
    rows.add_job("b")
    rows.pause_jobs("a", is_paused=True)
    async with running(make_bucket("a", "b"), engine, rows) as jobs:
        await until(lambda: len(rows.rows) == 1)
        await trio.testing.wait_all_tasks_blocked()
        assert jobs.state("a") == "paused"
        await jobs.cancel("a")
        assert (jobs.state("a"), rows.rows) == ("", {})
    assert [meta.key for meta in engine.filled] == ["b"]


async def test_what_is_asked_for_again_is_not_paused_any_more(
    make_bucket, engine, rows, running
) -> None:
    rows.add_job("a")
    rows.pause_jobs("a", is_paused=True)
    async with running(make_bucket("a"), engine, rows) as jobs:
        await jobs.add("a")
        await until(lambda: not rows.rows)
    assert not rows.paused


async def test_a_job_obeys_a_pause_that_another_process_wrote_down(
    make_bucket,
    engine,
    rows,
    running,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer_without_threads(monkeypatch)
    engine.hold = True
    async with running(make_bucket("a"), engine, rows) as jobs:
        await jobs.add("a")
        for is_paused, state in ((True, "paused"), (False, "fetching")):
            rows.pause_jobs("a", is_paused=is_paused)
            await trio.sleep(2 * LOOK_SECONDS)
            assert jobs.state("a") == state


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
async def test_a_part_of_a_job_is_not_said_to_be_stopped(
    make_bucket, engine, rows, running, verb: str
) -> None:
    engine.hold = True
    async with running(make_bucket("d/a", "d/b"), engine, rows) as jobs:
        await jobs.add("d/")
        for path in ("d/a", "d/e/"):
            with pytest.raises(InUse, match="is fetched with all of d/"):
                await getattr(jobs, verb)(path)
        await jobs.add("d/a")
        for path in ("d/a", "e", "d/"):
            await getattr(jobs, verb)(path)


async def test_a_report_counts_all_and_says_what_was_here_and_what_failed(
    make_bucket, engine, rows, running
) -> None:
    engine.cached = {"d/a": 10, "d/b": 4}
    engine.failures = [AccessDenied("no")]
    async with running(make_bucket("d/a", "d/b", "d/c", "d/d", "d/e"), engine, rows) as jobs:
        await jobs.add("d/")
        await until(lambda: not rows.rows)
        found = report(jobs, "d/")
    assert (found.state, found.is_counted, found.objects, found.total_bytes) == (
        "failed", True, 5, 50,
    )  # fmt: skip
    assert (found.objects_done, found.failed, found.reused_bytes) == (4, 1, 14)
    [(key, reason)] = found.failures
    assert (key[:2], reason) == ("d/", "no")


async def test_a_report_says_what_is_under_way_and_why_it_cannot_get_on(
    make_bucket,
    engine,
    rows,
    running,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer_without_threads(monkeypatch)
    engine.cached = {"d/a": 4}
    engine.failures = [Unreachable("down")]
    engine.on_failure = lambda: setattr(engine, "hold", True)
    async with running(make_bucket("d/a"), engine, rows) as jobs:
        await jobs.add("d/")
        await until(lambda: jobs.error("d/a"))
        found = report(jobs, "d/")
        assert (found.state, found.error) == ("running", "down")
        assert (found.bytes, found.reused_bytes, found.transferring) == (4, 4, (("d/a", 4, 10),))
        await jobs.cancel("d/")
        assert (report(jobs, "d/").state, report(jobs, "d/").transferring) == ("cancelled", ())
        assert jobs.report("other") is None


def test_a_report_fits_into_an_attribute_whatever_the_keys_are() -> None:
    job = Job(1, "\udcff" * 1000)
    for number in range(100):
        job.fail(f"{number}" + "\udcff" * 1000, AccessDenied("\0" * 1000))
    text = job.report("failed").document()
    assert len(text.encode()) < 65536
    assert json.loads(text)["failed"] == 100
