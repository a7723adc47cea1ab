"""Work that is done soon, and together."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ossfs_resume.cache.delayed import DelayedWork
from support.waiting import PATIENCE_S

NEVER_S = 1e6


@contextmanager
def running(work: Callable[[], None], interval_s: float, limit: int) -> Iterator[DelayedWork]:
    delayed = DelayedWork("test", work, interval_s=interval_s, limit=limit)
    delayed.start()
    yield delayed
    delayed.stop()


def test_work_is_done_when_the_interval_is_over() -> None:
    done = threading.Event()
    with running(done.set, 0.001, 1 << 60) as delayed:
        delayed.notify(0)
        assert done.wait(PATIENCE_S)


def test_work_is_done_at_once_when_there_is_enough() -> None:
    done = threading.Event()
    with running(done.set, NEVER_S, 10) as delayed:
        delayed.notify(6)
        assert not done.is_set()
        delayed.notify(4)
        assert done.wait(PATIENCE_S)


def test_stopping_leaves_undone_what_is_due() -> None:
    done = threading.Event()
    with running(done.set, NEVER_S, 10) as delayed:
        delayed.notify(9)
    assert not done.is_set()


def test_a_failure_is_logged_and_the_next_work_is_done(caplog: pytest.LogCaptureFixture) -> None:
    calls = threading.Semaphore(0)

    def fail() -> None:
        calls.release()
        raise RuntimeError("first")

    with caplog.at_level(logging.ERROR), running(fail, NEVER_S, 1) as delayed:
        for _ in range(2):
            delayed.notify(1)
            assert calls.acquire(timeout=PATIENCE_S)
    assert "first" in caplog.text
