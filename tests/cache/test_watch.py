"""The watch goes on whatever its looks do."""

import logging
import threading

import pytest

from ossfs_resume.cache import watch
from ossfs_resume.cache.watch import Watch
from ossfs_resume.errors import CacheError
from support.waiting import PATIENCE_S


def test_a_look_that_fails_keeps_no_other_from_being_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "INTERVAL_S", 0.001)
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
