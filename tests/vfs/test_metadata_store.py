"""What was kept is recalled, by who waits for it. What was packed comes back as it was; what is no
pack is told apart.
"""

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from ossfs_resume.cache.remembered import Remembered
from ossfs_resume.errors import CacheError, Unreachable
from ossfs_resume.fetch.circuit_breaker import RETRY_SECONDS
from ossfs_resume.fetch.thread_calls import Hanging
from ossfs_resume.oss.columns import Objects
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.vfs.listings import RECALL_PAUSE_S
from ossfs_resume.vfs.lookup import FoundDirectory
from ossfs_resume.vfs.metadata_store import (
    MetadataStore,
    pack_found,
    pack_page,
    unpack_found,
    unpack_pages,
)
from support.threads import answer_without_threads
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
            await MetadataStore(keeper, 0.01).listing("d/")
    finally:
        keeper.gate.set()


async def test_who_has_nobody_else_to_ask_waits_longer() -> None:
    keeper = SlowKeeper()
    timer = threading.Timer(0.05, keeper.gate.set)
    timer.start()
    assert await MetadataStore(keeper, PATIENCE_S).listing("d/") == []
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
    memory = MetadataStore(keeper)
    assert [await memory.answer(key) for key in "abc"] == [None] * 3
    assert keeper.asked == ["a"]
    await trio.sleep(RETRY_SECONDS)
    assert await memory.answer("d") is None
    assert keeper.asked == ["a", "d"]


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

    monkeypatch.setattr("ossfs_resume.vfs.metadata_store.unpack_pages", on_a_busy_machine)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(time_passes)
        assert await MetadataStore(keeper, 1.0).listing("d/") == [page]


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


names = st.binary(min_size=1, max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
metas = st.builds(
    ObjectMeta,
    names,
    st.integers(0, 2**62),
    st.text(max_size=40),
    st.integers(0, 2**40),
    st.none() | st.integers(0, 2**64 - 1),
    st.text(max_size=10),
    st.sampled_from(["", "Normal", "Symlink"]),
    st.sampled_from(["", "Standard", "Archive"]),
)


@given(
    names, st.lists(st.tuples(st.lists(metas, max_size=3), st.lists(names, max_size=3)), max_size=3)
)
def test_pages_come_back(prefix: str, content: list[tuple[list[ObjectMeta], list[str]]]) -> None:
    pages = [
        ListPage(
            tuple(_below(prefix, meta) for meta in objects),
            tuple(prefix + name for name in prefixes),
            "" if number == len(content) - 1 else f"kept {number}",
        )
        for number, (objects, prefixes) in enumerate(content)
    ]
    assert unpack_pages([pack_page(page, prefix) for page in pages], prefix) == pages


def _below(prefix: str, meta: ObjectMeta) -> ObjectMeta:
    return ObjectMeta(prefix + meta.key, meta.size, meta.etag, meta.modified, meta.crc64)


@given(names, st.lists(metas, max_size=3), st.lists(names, max_size=3))
def test_columns_come_back(prefix: str, metas: list[ObjectMeta], prefixes: list[str]) -> None:
    objects = Objects.of(
        [
            ObjectMeta(prefix + meta.key, meta.size, meta.etag, meta.modified, None, "", kind)
            for meta in metas
            for kind in ("Normal", "Multipart")
        ]
    )
    page = ListPage(objects, tuple(prefix + name for name in prefixes))
    [found] = unpack_pages([pack_page(page, prefix)], prefix)
    assert isinstance(found.objects, Objects)
    assert found == page


def test_columns_of_different_lengths_are_refused() -> None:
    objects = Objects.of([ObjectMeta("a", 1, "E", 0), ObjectMeta("b", 1, "E", 0)])
    objects.etags.pop()
    with pytest.raises(ValueError):
        unpack_pages([pack_page(ListPage(objects, ()), "")], "")


@given(metas | st.builds(FoundDirectory, names, st.none() | metas, st.booleans()))
def test_answers_come_back(found: ObjectMeta | FoundDirectory) -> None:
    body = pack_found(found)
    assert body is not None
    assert unpack_found(body) == found


def test_nothing_is_packed_as_nothing() -> None:
    assert pack_found(None) is None


@pytest.mark.parametrize("body", [b"", b"garbage"])
def test_what_is_no_pack_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        unpack_found(body)
    with pytest.raises(ValueError):
        unpack_pages([body], "")
