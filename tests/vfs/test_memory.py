"""What was kept is recalled, by who waits for it."""

import threading

import pytest
import trio

from ossfs_resume.cache.remembered import Remembered
from ossfs_resume.errors import CacheError
from ossfs_resume.fetch.circuit_breaker import RETRY_SECONDS
from ossfs_resume.vfs.memory import Memory
from support.threads import answer_without_threads
from support.waiting import PATIENCE_S


class SlowKeeper:
    """Answers when its gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def remember(self, news: Remembered) -> None:
        """Keeps nothing."""

    def recall_listing(self, prefix: str) -> list[bytes]:
        """Nothing is kept."""
        self.gate.wait()
        return []

    def recall_answer(self, key: str) -> bytes | None:
        """Nothing is kept."""
        self.gate.wait()
        return None


async def test_a_disk_that_hangs_is_waited_for_as_long_as_was_said() -> None:
    keeper = SlowKeeper()
    try:
        assert await Memory(keeper, 0.01).listing("d/") == []
    finally:
        keeper.gate.set()


async def test_who_has_nobody_else_to_ask_waits_longer() -> None:
    keeper = SlowKeeper()
    timer = threading.Timer(0.05, keeper.gate.set)
    timer.start()
    assert await Memory(keeper, PATIENCE_S).listing("d/") == []
    assert keeper.gate.is_set()


class FailingKeeper(SlowKeeper):
    """Counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def recall_answer(self, key: str) -> bytes | None:
        """The disk fails."""
        self.asked.append(key)
        raise CacheError("the disk hangs")


async def test_a_failing_disk_is_not_asked_for_each_name(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_without_threads(monkeypatch)
    keeper = FailingKeeper()
    memory = Memory(keeper)
    assert [await memory.answer(key) for key in "abc"] == [None] * 3
    assert keeper.asked == ["a"]
    await trio.sleep(RETRY_SECONDS)
    assert await memory.answer("d") is None
    assert keeper.asked == ["a", "d"]
