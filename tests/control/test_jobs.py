"""Jobs survive restarts, wait out a broken network, and end when the origin refuses for good."""

from dataclasses import replace

import pytest
import trio
import trio.testing

from ossfs_resume.control.jobs import LOOK_SECONDS
from ossfs_resume.errors import AccessDenied, ObjectChanged, ShuttingDown, Unreachable
from support.threads import answer_without_threads
from support.waiting import PATIENCE_S


async def until_idle(rows) -> None:
    with trio.fail_after(PATIENCE_S):
        while rows.rows:
            await trio.lowlevel.checkpoint()


async def test_a_key_is_fetched_and_its_row_removed(make_bucket, engine, rows, running) -> None:
    async with running(make_bucket("a", "b"), engine, rows) as jobs:
        await jobs.add("a")
        assert list(rows.rows.values()) == ["a"]
        await until_idle(rows)
    assert [meta.key for meta in engine.filled] == ["a"]
    assert engine.opened == 0


async def test_a_prefix_is_everything_below_it(make_bucket, engine, rows, running) -> None:
    bucket = make_bucket("d/a", "d/b", "d/c/x", "d/c/y", "d/e", "e")
    async with running(bucket, engine, rows) as jobs:
        await jobs.add("d/")
        await until_idle(rows)
    assert sorted(meta.key for meta in engine.filled) == ["d/a", "d/b", "d/c/x", "d/c/y", "d/e"]


async def test_a_job_of_an_earlier_process_goes_on(make_bucket, engine, rows, running) -> None:
    rows.add_job("a")
    async with running(make_bucket("a"), engine, rows):
        await until_idle(rows)
    assert [meta.key for meta in engine.filled] == ["a"]


async def test_the_same_job_is_accepted_once(make_bucket, engine, rows, running) -> None:
    engine.hold = True
    async with running(make_bucket("a"), engine, rows) as jobs:
        await jobs.add("a")
        await jobs.add("a")
        assert len(rows.rows) == 1


async def test_a_broken_network_is_waited_out(
    make_bucket,
    engine,
    rows,
    running,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer_without_threads(monkeypatch)
    bucket = make_bucket("d/a")
    bucket.failures = [Unreachable("down")] * 3
    engine.failures = [Unreachable("down")] * 3
    began = trio.current_time()
    async with running(bucket, engine, rows) as jobs:
        await jobs.add("d/")
        await engine.done.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert jobs.error("d/a") is None
    assert 30 < trio.current_time() - began < 120


async def test_a_refusal_ends_the_job_and_is_remembered(make_bucket, engine, rows, running) -> None:
    engine.failures = [AccessDenied("no")]
    async with running(make_bucket("a"), engine, rows) as jobs:
        await jobs.add("a")
        await until_idle(rows)
        assert jobs.state("a") == "failed"
        assert isinstance(jobs.error("a"), AccessDenied)
        await jobs.add("a")
        await until_idle(rows)
        assert jobs.state("a") == ""
    assert engine.opened == 0


async def test_one_refused_file_does_not_end_the_others(make_bucket, engine, rows, running) -> None:
    engine.failures = [AccessDenied("no")]
    async with running(make_bucket("d/a", "d/b", "d/c"), engine, rows) as jobs:
        await jobs.add("d/")
        await until_idle(rows)
        assert len(engine.filled) == 2


async def test_a_replaced_object_is_fetched_in_its_new_version(
    make_bucket, engine, rows, running
) -> None:
    bucket = make_bucket("a")
    successor = replace(bucket.objects["a"], etag="another")
    engine.failures = [ObjectChanged("412")]
    engine.on_failure = lambda: bucket.objects.update(a=successor)
    async with running(bucket, engine, rows) as jobs:
        await jobs.add("a")
        await until_idle(rows)
    assert [meta.etag for meta in engine.filled] == ["another"]


async def test_an_origin_that_contradicts_itself_is_not_asked_in_a_ring(
    make_bucket,
    engine,
    rows,
    running,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer_without_threads(monkeypatch)
    engine.failures = [ObjectChanged("412")] * 3
    began = trio.current_time()
    async with running(make_bucket("a"), engine, rows) as jobs:
        await jobs.add("a")
        await engine.done.wait()
    assert trio.current_time() - began >= 15


async def test_a_refused_listing_ends_the_job_alone(make_bucket, engine, rows, running) -> None:
    bucket = make_bucket("d/a", "e")
    bucket.failures = [AccessDenied("no listing")]
    async with running(bucket, engine, rows) as jobs:
        await jobs.add("d/")
        await until_idle(rows)
        assert isinstance(jobs.error("d/"), AccessDenied)
        await jobs.add("e")
        await until_idle(rows)
    assert [meta.key for meta in engine.filled] == ["e"]


async def test_an_unmount_leaves_the_row_for_the_next_mount(
    make_bucket, engine, rows, running
) -> None:
    engine.failures = [ShuttingDown("unmounting")]
    async with running(make_bucket("a"), engine, rows) as jobs:
        await jobs.add("a")
        with trio.fail_after(PATIENCE_S):
            while engine.failures:
                await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
    assert list(rows.rows.values()) == ["a"]


async def test_an_object_that_is_not_there_ends_the_job(make_bucket, engine, rows, running) -> None:
    async with running(make_bucket(), engine, rows) as jobs:
        await jobs.add("gone")
        await until_idle(rows)
        assert jobs.state("gone") == "failed"


@pytest.mark.parametrize(("job", "cancelled"), [("d/a", "d/a"), ("d/a", "d/"), ("d/a", "")])
async def test_cancel_ends_what_runs_and_forgets_the_row(
    make_bucket, engine, rows, running, job: str, cancelled: str
) -> None:
    engine.hold = True
    async with running(make_bucket("d/a"), engine, rows) as jobs:
        await jobs.add(job)
        with trio.fail_after(PATIENCE_S):
            while jobs.state("d/a") != "fetching":
                await trio.lowlevel.checkpoint()
        await jobs.cancel(cancelled)
        with trio.fail_after(PATIENCE_S):
            while engine.opened:
                await trio.lowlevel.checkpoint()
        assert jobs.state("d/a") == ""
        assert rows.rows == {}


async def test_a_mount_goes_on_with_the_jobs_of_its_own_prefix(
    make_bucket, engine, rows, running
) -> None:
    for path in ("a/x", "a/", "b/x", "", "a"):
        rows.add_job(path)
    bucket = make_bucket("a", "a/x", "a/y", "b/x")
    async with running(bucket, engine, rows, "a/"):
        with trio.fail_after(PATIENCE_S):
            while len(rows.rows) > 3:
                await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
    assert {meta.key for meta in engine.filled} == {"a/x", "a/y"}
    assert sorted(rows.rows.values()) == ["", "a", "b/x"]


async def test_a_job_ends_when_another_process_has_removed_its_row(
    make_bucket,
    engine,
    rows,
    running,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer_without_threads(monkeypatch)
    engine.hold = True
    async with running(make_bucket("a", "b"), engine, rows) as jobs:
        await jobs.add("a")
        await jobs.add("b")
        rows.remove_jobs("a")
        await trio.sleep(2 * LOOK_SECONDS)
        assert jobs.state("a") == ""
        assert jobs.state("b") == "fetching"


async def test_cancel_removes_the_rows_of_other_mounts(make_bucket, engine, rows, running) -> None:
    async with running(make_bucket(), engine, rows, "a/") as jobs:
        rows.add_job("a/of-another-mount")
        rows.add_job("b/x")
        await jobs.cancel("a/")
    assert list(rows.rows.values()) == ["b/x"]


async def test_an_unexpected_error_fails_one_object_and_neither_its_job_nor_the_mount(
    make_bucket, engine, rows, running, caplog: pytest.LogCaptureFixture
) -> None:
    engine.failures = [ZeroDivisionError("a defect")]
    async with running(make_bucket("d/a", "d/b", "d/c"), engine, rows) as jobs:
        await jobs.add("d/")
        await until_idle(rows)
        assert len(engine.filled) == 2
        assert "ZeroDivisionError: a defect" in str(jobs.below("d/").error)
        await jobs.add("d/")
        await until_idle(rows)
        assert len(engine.filled) == 5
    assert len([record for record in caplog.records if record.exc_info]) == 1


async def test_of_many_errors_the_newest_are_kept_and_one_line_tells_how_many(
    make_bucket, engine, rows, running, caplog: pytest.LogCaptureFixture
) -> None:
    keys = [f"d/{number:04}" for number in range(1100)]
    engine.failures = [AccessDenied("no")] * len(keys)
    async with running(make_bucket(*keys), engine, rows) as jobs:
        await jobs.add("d/")
        await until_idle(rows)
        assert jobs.below("d/").failed == 1000
    assert len(caplog.records) == 2
    assert "materialize d/: 1100 objects failed" in caplog.text
