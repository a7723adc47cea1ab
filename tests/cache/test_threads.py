"""Work that is done soon, and together. The watch goes on whatever its looks do."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ossfs_resume.cache import threads
from ossfs_resume.cache.threads import DelayedWork, Watch
from ossfs_resume.errors import CacheError
from support.waiting import PATIENCE_S, eventually

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


@pytest.mark.parametrize(("took_s", "rests_s"), [(0.01, 0.2), (0.1, 0.4), (60.0, 0.8)])
def test_work_that_takes_long_is_done_less_often(
    monkeypatch: pytest.MonkeyPatch, took_s: float, rests_s: float
) -> None:
    clock = Clock()
    monkeypatch.setattr(threads, "time", clock)
    work = DelayedWork(
        "test", lambda: clock.advance(took_s), interval_s=0.2, limit=1, longest_s=0.8
    )
    work.interval_s = 0.0
    work.start()
    work.notify(1)
    eventually(lambda: work.interval_s == pytest.approx(rests_s))
    work.stop()


class Clock:
    """A clock that only work advances."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


def test_a_look_that_fails_keeps_no_other_from_being_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(threads, "INTERVAL_S", 0.001)
    failures = iter((OSError("gone"), CacheError("ill"), ValueError("a bug")))
    looked = threading.Semaphore(0)

    def fail() -> None:
        for failure in failures:
            raise failure

    with caplog.at_level(logging.DEBUG):
        looks = Watch("test", (fail, looked.release))
        looks.start()
        for _ in range(5):
            assert looked.acquire(timeout=PATIENCE_S)
        looks.stop()
    levels = [record.levelname for record in caplog.records]
    assert levels == ["DEBUG", "DEBUG", "ERROR"]
    assert "ValueError: a bug" in caplog.text
