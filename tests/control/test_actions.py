"""A pin of a directory follows its listing, and to an end. Short work is waited for, long work is
not, and no failure is lost.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from ossfs_resume.cache.eviction import Limits
from ossfs_resume.cache.keeper import Keeper
from ossfs_resume.cache.models import CacheSettings
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.control.actions import Errands, Pins
from ossfs_resume.errors import BadAnswer, NoSpace, Throttled, Unreachable
from ossfs_resume.oss.models import ListPage, ObjectMeta
from support.threads import answer_without_threads


class Circles:
    """The same page with ever new tokens."""

    def __init__(self) -> None:
        self.asked = 0

    async def list_page(
        self, prefix: str, *, token: str = "", delimiter: str = "/", max_keys: int = 1000
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        return ListPage((ObjectMeta("d/a", 1, "E", 0),), (), str(self.asked))


async def test_a_listing_in_circles_is_refused(nursery: trio.Nursery) -> None:
    circles = Circles()
    pins = Pins(circles, None, None, Errands(nursery))  # type: ignore[arg-type]
    with pytest.raises(BadAnswer, match="circles"):
        await pins.pin("d/", None)
    assert circles.asked == 2


BLOCK = 4096
COUNT = 10


class ByPages:
    """Objects of one block each, two on a page; what ``seen`` does happens before each page."""

    def __init__(self, sizes: list[int], seen: Callable[[], object]) -> None:
        self._sizes = sizes
        self._seen = seen

    async def list_page(
        self, prefix: str, *, token: str = "", delimiter: str = "/", max_keys: int = 1000
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        self._seen()
        first = int(token or 0)
        objects = [
            ObjectMeta(f"d/{number}", size, "E", 0)
            for number, size in enumerate(self._sizes[first : first + 2], first)
        ]
        after = first + 2
        return ListPage(tuple(objects), (), str(after) if after < len(self._sizes) else "")


class NoJobs:
    def __init__(self) -> None:
        self.paths: list[str] = []

    async def add(self, path: str) -> None:
        self.paths.append(path)


@contextmanager
def keeper_of(place: Path) -> Iterator[Keeper]:
    """Of a real store with room for all, and nothing beside them."""
    store = CacheStore.open(CacheSettings(place, "bucket", limits=Limits(COUNT * BLOCK)))
    yield store.keeper
    store.close()


def pinned_bytes(keeper: Keeper) -> int:
    """What pins reserve."""
    room = 0
    while True:
        try:
            keeper.require_room("unknown", room + BLOCK)
        except NoSpace:
            return COUNT * BLOCK - room
        room += BLOCK


async def test_a_directory_is_pinned_although_the_origin_is_away_for_a_while(
    nursery: trio.Nursery,
    tmp_path: Path,
    autojump_clock: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer_without_threads(monkeypatch)
    outages = iter([Unreachable("no route"), Throttled("slow down")])

    def fail() -> None:
        if (error := next(outages, None)) is not None:
            raise error

    with keeper_of(tmp_path) as keeper:
        jobs = NoJobs()
        lister = ByPages([BLOCK], fail)
        pins = Pins(lister, keeper, jobs, Errands(nursery))  # type: ignore[arg-type]
        await pins.pin("d/", None)
        await trio.sleep(60)
        assert (jobs.paths, pinned_bytes(keeper)) == (["d/"], BLOCK)


async def test_a_directory_of_many_pages_is_pinned_as_a_whole_or_not_at_all(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    with keeper_of(tmp_path) as keeper:
        jobs, taken = NoJobs(), []
        lister = ByPages([BLOCK] * COUNT, lambda: taken.append(pinned_bytes(keeper)))
        pins = Pins(lister, keeper, jobs, Errands(nursery))  # type: ignore[arg-type]
        keeper.pin([("other", 1)])
        with pytest.raises(NoSpace, match=r"40\.0 KiB cannot be pinned"):
            await pins.pin("d/", None)
        assert (jobs.paths, pinned_bytes(keeper)) == ([], BLOCK)

        keeper.unpin("other")
        keeper.pin([("d/3", BLOCK)])  # has its room already
        taken.clear()
        await pins.pin("d/", None)
        half = COUNT // 2
        assert taken == [BLOCK] * half + [COUNT * BLOCK] * half  # nobody gets in between
        assert all(keeper.is_pinned(f"d/{number}") for number in range(COUNT))
        assert (jobs.paths, pinned_bytes(keeper)) == (["d/"], COUNT * BLOCK)
        await pins.unpin("d/", None)
        assert pinned_bytes(keeper) == 0


async def test_room_that_is_kept_for_a_pin_is_let_go_with_it(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """Objects that grow meanwhile, and a kill in the middle, leave it behind."""
    with keeper_of(tmp_path) as keeper:
        sizes, pages = [BLOCK] * COUNT, []

        def grow() -> None:
            pages.append(1)
            if len(pages) == COUNT // 2 + 1:
                sizes[:] = [2 * BLOCK] * COUNT

        pins = Pins(ByPages(sizes, grow), keeper, NoJobs(), Errands(nursery))  # type: ignore[arg-type]
        with pytest.raises(NoSpace):
            await pins.pin("d/", None)
        assert pinned_bytes(keeper) <= COUNT * BLOCK
        await pins.unpin("d/", None)
        assert pinned_bytes(keeper) == 0


async def test_short_work_ends_before_the_verb_does(nursery: trio.Nursery) -> None:
    done = []

    async def work() -> None:
        await trio.lowlevel.checkpoint()
        done.append(1)

    await Errands(nursery).run("x", work)
    assert done == [1]


async def test_what_short_work_raises_is_the_verbs_error(nursery: trio.Nursery) -> None:
    async def work() -> None:
        raise NoSpace("too much")

    with pytest.raises(NoSpace, match="too much"):
        await Errands(nursery).run("x", work)


async def test_long_work_goes_on_and_its_error_is_logged(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        await trio.sleep(60)
        raise NoSpace("too much")

    began = trio.current_time()
    with caplog.at_level(logging.WARNING):
        await Errands(nursery).run("pin dir/", work)
        assert trio.current_time() - began < 10
        await trio.sleep(100)
    assert "pin dir/: too much" in caplog.text
