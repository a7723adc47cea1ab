"""What was kept is recalled, by who waits for it."""

import threading

from ossfs_resume.cache.remembered import Remembered
from ossfs_resume.vfs.memory import Memory
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
