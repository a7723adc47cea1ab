"""What a task raises ends that task, is told once, and leaves its nursery alone."""

import logging
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from ossfs_resume.errors import NoSpace
from ossfs_resume.supervision import explained, kept_running, supervised


async def broken() -> None:
    await trio.lowlevel.checkpoint()
    raise RuntimeError("nobody thought of it")


async def test_an_unexpected_error_ends_one_task_alone(caplog: pytest.LogCaptureFixture) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervised, "verify x", broken)
        await trio.testing.wait_all_tasks_blocked()
    [record] = caplog.records
    assert record.getMessage() == "verify x failed unexpectedly"
    assert record.exc_info is not None


async def test_a_task_for_ever_begins_again_and_complains_once(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = []

    async def work() -> None:
        attempts.append(trio.current_time())
        if len(attempts) < 5:
            await broken()

    with caplog.at_level(logging.INFO):
        await kept_running("writing", work)
    assert [later - first for first, later in pairwise(attempts)] == [1.0, 2.0, 4.0, 8.0]
    assert len(caplog.records) == 1


def test_an_expected_error_is_a_line_without_traceback(caplog: pytest.LogCaptureFixture) -> None:
    error = NoSpace("full")
    assert explained("pin x", error) is error
    [record] = caplog.records
    assert (record.levelname, record.getMessage(), record.exc_info) == (
        "WARNING",
        "pin x: full",
        None,
    )
