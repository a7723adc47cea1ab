"""What an attribute says is what the cache holds and the jobs do."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from ossfs_resume.cache.eviction import Limits
from ossfs_resume.cache.keeper import Keeper
from ossfs_resume.cache.models import CacheSettings, EntrySummary, ObjectVersion
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.control.actions import Care, Errands, Pins
from ossfs_resume.control.jobs import Jobs
from ossfs_resume.control.overview import Overview
from ossfs_resume.control.xattrs import Presence, Verbs
from ossfs_resume.errors import BadValue, InUse, IsADirectory, NoSpace, NoSuchAttribute
from ossfs_resume.oss.models import ObjectMeta
from support.threads import answer_without_threads

FILE, DIRECTORY = 2, 3
META = ObjectMeta("dir/file", 1_000_000, "E", 0, crc64=7, storage_class="IA")


class Namespace:
    """One file, its directory, and the root."""

    ROOT = 1

    def version_of(self, inode: int) -> ObjectMeta:
        if inode != FILE:
            raise IsADirectory(str(inode))
        return META

    def prefix_of(self, inode: int) -> str:
        return "dir/" if inode == DIRECTORY else ""

    def __init__(self) -> None:
        self.refreshed: list[int] = []

    def refresh(self, inode: int) -> None:
        self.refreshed.append(inode)


class NothingOpen:
    def find(self, meta: ObjectMeta) -> None:
        return None

    def last_error(self, meta: ObjectMeta) -> None:
        return None


class Summaries:
    """Says of any version what it was told to."""

    def __init__(self) -> None:
        self.parts_present = 0
        self.is_verified = False

    def state(self, version: ObjectVersion) -> EntrySummary | None:
        if not self.parts_present:
            return None
        done = self.parts_present
        return EntrySummary(version, 262144, 4, done, done * 250_000, self.is_verified)


@pytest.fixture
def summaries() -> Summaries:
    return Summaries()


@pytest.fixture
def jobs(make_bucket, engine, rows) -> Jobs:
    return Jobs(make_bucket("dir/file"), engine, rows)


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    """Of a real store with room for 2 MB."""
    limits = Limits(2_000_000)
    store = CacheStore.open(CacheSettings(tmp_path, "bucket", limits=limits))
    yield store.keeper
    store.close()


@pytest.fixture
def verbs(
    summaries: Summaries, jobs: Jobs, make_bucket, keeper: Keeper, nursery: trio.Nursery
) -> Verbs:
    tree, engine = Namespace(), NothingOpen()
    pins = Pins(make_bucket("dir/file"), keeper, jobs, Errands(nursery))
    care = Care(tree, engine, keeper, nursery, lambda version: None)
    below = Overview(keeper, jobs, care)
    return Verbs(tree, engine, summaries, jobs, 262144, lambda: {"pid": 1}, pins, care, below)


@pytest.mark.parametrize(
    ("present", "verified", "state", "progress"),
    [
        (0, False, "remote", "0/4 parts 0.0%"),
        (1, False, "partial", "1/4 parts 25.0%"),
        (4, False, "complete", "4/4 parts 100.0%"),
        (4, True, "verified", "4/4 parts 100.0%"),
    ],
)
async def test_state_progress_and_status_agree(
    verbs: Verbs, summaries: Summaries, present: int, verified: bool, state: str, progress: str
) -> None:
    summaries.parts_present, summaries.is_verified = present, verified
    assert await verbs.get(FILE, "state") == state.encode()
    assert await verbs.get(FILE, "progress") == progress.encode()
    status = json.loads(await verbs.get(FILE, "status"))
    assert (status["state"], status["parts_present"], status["parts"]) == (state, present, 4)


async def test_constants_come_from_the_listing(verbs: Verbs) -> None:
    assert await verbs.get(FILE, "key") == b"dir/file"
    assert await verbs.get(FILE, "etag") == b"E"
    assert await verbs.get(FILE, "crc64") == b"7"
    assert await verbs.get(FILE, "storage-class") == b"IA"
    assert await verbs.get(DIRECTORY, "key") == b"dir/"


async def test_statistics_are_the_roots_alone(verbs: Verbs) -> None:
    assert json.loads(await verbs.get(1, "stats")) == {"pid": 1}
    for inode in (FILE, DIRECTORY):
        with pytest.raises(NoSuchAttribute):
            await verbs.get(inode, "stats")


@pytest.mark.parametrize("name", ["error", "nonsense", "materialize", ""])
async def test_what_is_not_there_is_said_so(verbs: Verbs, name: str) -> None:
    with pytest.raises(NoSuchAttribute):
        await verbs.get(FILE, name)


async def test_materialize_queues_a_file_or_everything_below_a_directory(
    verbs: Verbs, jobs: Jobs, engine, rows
) -> None:
    engine.hold = True
    async with trio.open_nursery() as nursery:
        await nursery.start(jobs.run)
        await verbs.set(FILE, "materialize", b"1")
        await verbs.set(DIRECTORY, "materialize", b"1\n")
        assert sorted(rows.rows.values()) == ["dir/", "dir/file"]
        assert await verbs.get(FILE, "state") in (b"queued", b"fetching")
        await verbs.set(DIRECTORY, "cancel", b"1")
        assert rows.rows == {}
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("value", [b"", b"0", b"yes", b"11"])
async def test_a_verb_takes_nothing_but_1(verbs: Verbs, value: bytes) -> None:
    with pytest.raises(BadValue):
        await verbs.set(FILE, "materialize", value)


async def test_a_pin_reserves_fetches_and_shows(verbs: Verbs, jobs: Jobs, engine, rows) -> None:
    engine.hold = True
    async with trio.open_nursery() as nursery:
        await nursery.start(jobs.run)
        await verbs.set(FILE, "pin", b"1")
        assert list(rows.rows.values()) == ["dir/file"]
        nursery.cancel_scope.cancel()
    assert json.loads(await verbs.get(FILE, "status"))["pinned"] is True
    with pytest.raises(InUse, match="pinned"):
        await verbs.set(FILE, "evict", b"1")
    await verbs.set(DIRECTORY, "unpin", b"1")
    assert json.loads(await verbs.get(FILE, "status"))["pinned"] is False
    await verbs.set(FILE, "evict", b"1")


async def test_a_pin_that_does_not_fit_is_refused_and_fetches_nothing(
    verbs: Verbs, keeper: Keeper, rows
) -> None:
    keeper.pin([("other", 1_500_000)])
    with pytest.raises(NoSpace):
        await verbs.set(FILE, "pin", b"1")
    assert rows.rows == {}
    assert not keeper.is_pinned("dir/file")


async def test_refresh_is_for_files_and_directories(verbs: Verbs) -> None:
    for inode in (DIRECTORY, FILE):
        await verbs.set(inode, "refresh", b"1")
    assert verbs._tree.refreshed == [DIRECTORY, FILE]
    with pytest.raises(BadValue):
        await verbs.set(DIRECTORY, "refresh", b"0")


async def test_an_unknown_verb_is_refused_whatever_its_value(verbs: Verbs) -> None:
    with pytest.raises(NoSuchAttribute):
        await verbs.set(FILE, "state", b"1")


def test_an_empty_object_is_all_there() -> None:
    assert str(Presence(0, 0, 0, True)) == "0/0 parts 100.0%"


class NeverClosed:
    """A keeper of something that stays open."""

    def __init__(self) -> None:
        self.asked = 0

    def is_pinned(self, key: str) -> bool:
        return False

    def evict(self, version: ObjectVersion) -> None:
        self.asked += 1
        raise InUse("open")


async def test_an_open_file_is_asked_for_a_few_times_only(
    nursery: trio.Nursery, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_without_threads(monkeypatch)
    keeper = NeverClosed()
    care = Care(Namespace(), NothingOpen(), keeper, nursery, Namespace())
    with pytest.raises(InUse):
        await care.evict(META.key, META)
    assert keeper.asked < 10
