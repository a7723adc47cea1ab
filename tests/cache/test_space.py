"""A store with limits: what it removes, what it leaves, and that nobody reads a hole. Nobody is let
in for whom there is no room, and nobody waits for ever.
"""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.cache import CacheSettings, CacheStore, ObjectVersion, space
from ossfs_resume.cache.entry import Absent
from ossfs_resume.cache.eviction import Limits
from ossfs_resume.cache.space import Account, Admission
from ossfs_resume.errors import CacheError, InUse, NoSpace
from support.waiting import PATIENCE_S, eventually

Parts = Any  # of conftest.py
Opened = Callable[..., CacheStore]


@pytest.fixture
def opened(settings: CacheSettings) -> Iterator[Opened]:
    """Open the store with a size limit in parts; passes are made by hand."""
    stores = []

    def opener(size: int | None = None) -> CacheStore:
        limits = Limits() if size is None else Limits(size * 65536)
        store = CacheStore.open(replace(settings, limits=limits))
        store._reclaimer.stop()
        stores.append(store)
        return store

    yield opener
    for store in stores:
        store.close()


def fill(store: CacheStore, parts: Parts, key: str, count: int, *, read: bool = True) -> None:
    """Cache an object of so many parts, and let go of it."""
    entry = store.acquire(parts.version(count, key=key))
    parts.write(entry, 0, count)
    if read:
        entry.read(0, count * parts.SIZE)
    store.release(entry)


def present(store: CacheStore, parts: Parts, **counts: int) -> dict[str, bool]:
    return {
        key: store.cached_bytes([parts.version(count, key=key)]) != [0]
        for key, count in counts.items()
    }


def files(directory: Path) -> int:
    return len(list(directory.glob("bucket/data/*/*")))


def test_the_least_recently_used_goes_and_whoever_has_copies_is_told(
    opened: Opened, parts: Parts, settings: CacheSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Everything here happens within a millisecond.
    monkeypatch.setattr("ossfs_resume.cache.progress._now_ms", count(10**13).__next__)
    store, told = opened(10), []
    store.keeper.listen(removed=told.extend)
    for key in ("a", "b"):
        fill(store, parts, key, 4)
    store.commit()
    entry = store.acquire(parts.version(4, key="a"))
    store.release(entry)
    fill(store, parts, "c", 4)
    store.commit()
    assert present(store, parts, a=4, b=4, c=4) == {"a": True, "b": False, "c": True}
    assert told == [parts.version(4, key="b")]
    assert files(settings.directory) == 2
    assert [record.version.key for record in store.keeper.records()] == ["a", "c"]
    assert store.statistics().evicted == 1


def test_what_somebody_holds_is_not_removed(opened: Opened, parts: Parts) -> None:
    store = opened(8)
    held = store.acquire(parts.version(4, key="held"))
    parts.write(held, 0, 4)
    fill(store, parts, "other", 4)
    store.keeper.reclaim()
    assert present(store, parts, held=4, other=4) == {"held": True, "other": False}
    with pytest.raises(InUse, match="in use"):
        store.keeper.evict(held.version)
    store.release(held)
    store.keeper.evict(held.version)
    assert store.cached_bytes([held.version]) == [0]


def test_what_another_store_holds_is_not_removed(opened: Opened, parts: Parts) -> None:
    one, other = opened(), opened()
    fill(one, parts, "k", 4)
    one.commit()
    one.sync()
    version = parts.version(4, key="k")
    held = other.acquire(version)
    with pytest.raises(InUse):
        one.keeper.evict(version)
    assert held.check(0, 4) == []
    assert held.read(0, 4 * parts.SIZE) == parts.whole(held.geometry)
    other.release(held)
    other.commit()
    one.keeper.evict(version)
    again = other.acquire(version)
    assert again.stock is None
    assert again.progress.present_count == 0
    other.release(again)


def test_parts_that_were_read_go_while_an_object_larger_than_the_cache_is_read(
    opened: Opened, parts: Parts, settings: CacheSettings
) -> None:
    store = opened(40)
    fill(store, parts, "small", 2)
    entry = store.acquire(parts.version(100, key="large"))
    for part in range(100):
        parts.write(entry, part, part + 1)
        assert entry.read(part * parts.SIZE, parts.SIZE) == parts.content(entry.geometry, part)
        store.keeper.reclaim()
        assert store._reclaimer.usage().allocated <= 40 * parts.SIZE
    assert present(store, parts, small=2) == {"small": True}
    [gone] = entry.missing(0, 100)
    assert gone.start == 0
    with pytest.raises(Absent):
        entry.read(0, 1)
    parts.write(entry, 0, 1)
    assert entry.read(0, parts.SIZE) == parts.content(entry.geometry, 0)
    assert not entry.progress.is_verified
    store.commit()
    store.release(entry)
    store.abandon()
    store = opened(40)
    entry = store.acquire(parts.version(100, key="large"))
    assert entry.check(0, 100) == []
    assert entry.missing(0, 100) == [range(1, gone.stop)]
    store.release(entry)


def test_readers_beside_the_removal_get_right_bytes_or_none(opened: Opened, parts: Parts) -> None:
    store = opened(8)
    entry = store.acquire(parts.version(64))
    done, wrong, served = threading.Event(), [], [0]

    def reader() -> None:
        while not done.is_set():
            for part in range(64):
                try:
                    data = entry.read(part * parts.SIZE, parts.SIZE)
                except Absent:
                    continue
                served[0] += 1
                if data != parts.content(entry.geometry, part):
                    wrong.append(part)

    threads = [threading.Thread(target=reader) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            for part in range(64):
                if entry.missing(part, part + 1):
                    parts.write(entry, part, part + 1)
        eventually(lambda: served[0])
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    store.release(entry)


def test_pins_reserve_their_space_and_are_durable(opened: Opened, parts: Parts) -> None:
    store = opened(10)
    store.keeper.pin([("a", 4 * parts.SIZE), ("b", 4 * parts.SIZE)])
    with pytest.raises(NoSpace):
        store.keeper.pin([("c", 2 * parts.SIZE), ("d", 1)])
    assert not store.keeper.is_pinned("c")
    store.keeper.pin([("a", 4 * parts.SIZE)])
    fill(store, parts, "a", 4)
    store.abandon()
    store = opened(10)
    assert store.keeper.is_pinned("a")
    fill(store, parts, "a", 4)
    for key in ("x", "y"):
        fill(store, parts, key, 4)
    store.keeper.reclaim()
    assert present(store, parts, a=4, x=4, y=4) == {"a": True, "x": False, "y": True}
    with pytest.raises(InUse, match="pinned"):
        store.keeper.evict(parts.version(4, key="a"))
    with pytest.raises(NoSpace):
        store.keeper.require_room("z", 3 * parts.SIZE)
    store.keeper.require_room("z", 2 * parts.SIZE)
    assert store.keeper.unpin("") == 2
    store.keeper.evict(parts.version(4, key="a"))


def test_a_replaced_object_takes_its_pin_along(opened: Opened, parts: Parts) -> None:
    store = opened(20)
    store.keeper.pin([("k", 4 * parts.SIZE)])
    fill(store, parts, "k", 4)
    new = store.acquire(ObjectVersion("k", "new etag", 4 * parts.SIZE))
    parts.write(new, 0, 4)
    store.release(new)
    store.commit()
    pinned = {record.version.etag: record.is_pinned for record in store.keeper.records("k")}
    assert pinned == {"etag": False, "new etag": True}


def test_evicting_below_a_prefix_touches_nothing_else(opened: Opened, parts: Parts) -> None:
    store = opened()
    for key in ("d/a", "d/b/c", "d0", "d", "e"):
        fill(store, parts, key, 2)
    assert store.keeper.evict_below("d/") == 2
    left = [record.version.key for record in store.keeper.records() if record.allocated]
    assert left == ["d", "d0", "e"]


def test_a_disk_that_others_fill_is_given_room_though_nobody_uses_the_store(
    tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ossfs_resume.cache.threads.INTERVAL_S", 0.01)
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk], check=True)
    try:
        limits = Limits(free=4 << 20)
        store = CacheStore.open(replace(parts.quiet(disk / "cache"), limits=limits))
        for key in ("a", "b"):
            fill(store, parts, key, 64)
        store.sync()
        (disk / "ballast").write_bytes(bytes(6 << 20))
        eventually(lambda: present(store, parts, a=64, b=64) == {"a": False, "b": True})
        store.close()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_on_a_disk_without_any_room_something_can_be_removed(tmp_path: Path, parts: Parts) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk], check=True)
    try:
        store = CacheStore.open(parts.quiet(disk / "cache"))
        ballast = disk / "cache/bucket/ballast"
        eventually(ballast.exists)
        fill(store, parts, "a", 64)
        fill(store, parts, "b", 64)
        store.commit()
        with (disk / "theirs").open("wb", buffering=0) as theirs, suppress(OSError):
            while True:
                theirs.write(bytes(4096))
        # What has room in the catalogue's log already is used up.
        with suppress(CacheError):
            for number in range(10_000):
                store.notes.add_job(f"{number}")
        store.keeper.evict(parts.version(64, key="a"))
        assert not ballast.exists()
        assert present(store, parts, a=64, b=64) == {"a": False, "b": True}
        store.keeper.reclaim()
        assert ballast.exists()
        store.close()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_usage_is_counted_in_blocks_and_survives(
    opened: Opened, parts: Parts, settings: CacheSettings
) -> None:
    store = opened()
    entry = store.acquire(parts.version(50, less=100))
    parts.write(entry, 3, 4)
    parts.write(entry, 49, 50)
    store.commit()
    blocks = parts.data_file(settings.directory).stat().st_blocks * 512
    assert store._reclaimer.usage().allocated == blocks == 2 * parts.SIZE
    store.release(entry)
    store.close()
    assert opened()._reclaimer.usage().allocated == blocks


@given(
    st.integers(0, 100),
    st.lists(st.tuples(st.sampled_from(["admit", "end", "look", "remove"]), st.integers(0, 60))),
)
def test_the_account_is_never_below_the_truth_nor_the_truth_above_the_limit(
    limit: int, steps: list[tuple[str, int]]
) -> None:
    account, on_disk, writing = Account(limit), 0, []
    for step, size in steps:
        if step == "admit" and account.admit(size):
            writing.append(size)
        elif step == "end" and writing:
            on_disk += writing[0]
            account.done(writing.pop(0))
        elif step == "look":
            assert account.look(lambda: on_disk) == on_disk  # noqa: B023
        elif step == "remove":
            on_disk -= min(size, on_disk)
        assert on_disk + sum(writing) <= limit
        assert account.in_flight == sum(writing)
    for size in writing:
        account.done(size)
    account.look(lambda: on_disk + sum(writing))
    assert account.admit(limit - on_disk - sum(writing))


def test_what_is_written_while_somebody_counts_is_not_lost() -> None:
    account = Account(10)
    assert account.admit(4)

    def count() -> int:
        account.done(4)
        return 0  # before it could be seen

    account.look(count)
    assert not account.admit(7)
    assert account.admit(6)


def test_without_a_limit_everybody_is_let_in() -> None:
    assert Account(None).admit(1 << 60)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "_PATIENCE_S", 0.05)
    monkeypatch.setattr(space, "_PAUSE_S", 0.001)


def test_a_writer_waits_until_there_is_room() -> None:
    account = Account(10)
    asked = threading.Event()

    def free(size: int, is_urgent: bool) -> bool:
        asked.set()
        return False

    door = Admission(account, lambda: 1 << 40, free)
    assert account.admit(8)

    def leave() -> None:
        assert asked.wait(PATIENCE_S)
        account.done(8)
        account.look(lambda: 0)

    other = threading.Thread(target=leave)
    other.start()
    with door.room(5):
        assert account.in_flight == 5
    other.join()
    assert account.in_flight == 0


@pytest.mark.usefixtures("impatient")
def test_who_loses_patience_makes_room_by_force_or_is_refused_and_the_next_at_once() -> None:
    account, urgent = Account(10), []

    def free(size: int, is_urgent: bool) -> bool:
        urgent.append(is_urgent)
        if is_urgent and len(urgent) > 100:
            raise AssertionError("asked for ever")
        return False

    door = Admission(account, lambda: 1 << 40, free)
    assert account.admit(10)
    with pytest.raises(CacheError, match="nothing can be removed"), door.room(1):
        pass
    assert urgent.count(True) == 1
    urgent.clear()
    with pytest.raises(CacheError, match="nothing can be removed"), door.room(1):
        pass
    assert urgent == [True]
    assert account.in_flight == 10


def test_what_can_never_fit_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "_PATIENCE_S", 1e6)
    door = Admission(Account(10), lambda: 1 << 40, lambda size, urgent: False)
    with pytest.raises(CacheError, match="smaller than"), door.room(11):
        pass


def test_the_disks_headroom_is_left_alone() -> None:
    free_bytes = [100]

    def free(size: int, is_urgent: bool) -> bool:
        free_bytes[0] += 50
        return True

    door = Admission(Account(None), lambda: free_bytes[0], free)
    door.headroom = 90
    with door.room(30):
        assert free_bytes == [150]
