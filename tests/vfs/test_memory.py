"""What was kept is recalled, by who waits for it."""

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from ossfs_resume.cache.remembered import Remembered
from ossfs_resume.errors import CacheError, Unreachable
from ossfs_resume.fetch.calls import Hanging
from ossfs_resume.oss.models import ListPage
from ossfs_resume.vfs.listings import RECALL_PAUSE_S
from ossfs_resume.vfs.memory import Memory
from ossfs_resume.vfs.packing import pack_page, unpack_pages
from support.waiting import PATIENCE_S


class SlowKeeper:
    """Answers when its gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.bodies: list[bytes] = []

    def remember(self, news: Remembered) -> None:
        """Keeps nothing."""

    def recall_listing(self, prefix: str) -> list[bytes]:
        """What is kept."""
        self.gate.wait()
        return self.bodies

    def recall_answer(self, key: str) -> bytes | None:
        """Nothing is kept."""
        self.gate.wait()
        return None


async def test_a_disk_that_hangs_is_waited_for_as_long_as_was_said() -> None:
    keeper = SlowKeeper()
    try:
        with pytest.raises(Hanging):
            await Memory(keeper, 0.01).listing("d/")
    finally:
        keeper.gate.set()


async def test_who_has_nobody_else_to_ask_waits_longer() -> None:
    keeper = SlowKeeper()
    timer = threading.Timer(0.05, keeper.gate.set)
    timer.start()
    assert await Memory(keeper, PATIENCE_S).listing("d/") == []
    assert keeper.gate.is_set()


async def test_unpacking_takes_as_long_as_a_busy_machine_takes(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The patience is for the disk, which has answered."""
    keeper, begun, gate = SlowKeeper(), threading.Event(), threading.Event()
    keeper.gate.set()
    page = ListPage((), ("d/x/",), "")
    keeper.bodies = [pack_page(page, "d/")]

    def on_a_busy_machine(bodies: Sequence[bytes], prefix: str) -> list[ListPage]:
        begun.set()
        assert gate.wait(PATIENCE_S)
        return unpack_pages(bodies, prefix)

    async def time_passes() -> None:
        while not begun.is_set():
            await trio.lowlevel.checkpoint()
        mock_clock.jump(1000.0)
        await trio.lowlevel.checkpoint()
        gate.set()

    monkeypatch.setattr("ossfs_resume.vfs.memory.unpack_pages", on_a_busy_machine)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(time_passes)
        assert await Memory(keeper, 1.0).listing("d/") == [page]


class SlowWriter(SlowKeeper):
    """Keeps what it is told when its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.kept: list[str] = []

    def remember(self, news: Remembered) -> None:
        """Keep it."""
        self.begun.set()
        assert self.gate.wait(PATIENCE_S)
        self.kept += news.listings


async def test_the_end_waits_for_what_is_being_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a mount came while a listing was on its way, and it was never kept."""
    monkeypatch.setattr("ossfs_resume.vfs.memory.FLUSH_INTERVAL_S", 0.0)
    keeper = SlowWriter()
    memory = Memory(keeper)
    memory.listed("d/", [b"page"])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(memory.run)
        while not keeper.begun.is_set():
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
        threading.Timer(0.05, keeper.gate.set).start()
    assert keeper.kept == ["d/"]


class ForgetfulKeeper(SlowKeeper):
    """Does not answer the first time."""

    asked = 0

    def recall_listing(self, prefix: str) -> list[bytes]:
        """What is kept, the second time."""
        self.asked += 1
        if self.asked == 1:
            raise CacheError("the cache did not answer for 30 seconds")
        return [pack_page(ListPage((), (f"{prefix}kept/",), ""), prefix)]


async def test_what_the_cache_did_not_say_is_asked_again(world, autojump_clock) -> None:
    keeper = ForgetfulKeeper()
    keeper.gate.set()
    world.bucket.error = Unreachable("offline")
    offline = replace(world, tree=world.make_tree(keeper=keeper))
    for _ in range(2):
        with pytest.raises(Unreachable):
            await offline.names()
    assert keeper.asked == 1
    await trio.sleep(RECALL_PAUSE_S)
    assert await offline.names() == [b"kept"]
