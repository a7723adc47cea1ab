"""Trust that outlives an open file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ossfs_resume.cache import CacheSettings, CacheStore, ObjectVersion
from ossfs_resume.cache.trust import Trusted, TrustMemory

Parts = Any  # of conftest.py


def test_an_entry_that_was_closed_idle_is_not_checked_again(
    store: CacheStore, parts: Parts
) -> None:
    entry = store.acquire(parts.version(3))
    parts.write(entry, 0, 2)
    parts.close(store, entry)
    again = store.acquire(parts.version(3))
    assert not again.unchecked(0, 3)
    assert again.read(0, 2 * parts.SIZE) == parts.whole(entry.geometry)[: 2 * parts.SIZE]
    assert again.missing(0, 3) == [range(2, 3)]
    store.release(again)


def test_what_only_another_process_has_seen_is_checked(
    settings: CacheSettings, store: CacheStore, parts: Parts
) -> None:
    entry = store.acquire(parts.version(3))
    parts.write(entry, 0, 1)
    parts.close(store, entry)
    other = CacheStore.open(settings)
    theirs = other.acquire(parts.version(3))
    parts.write(theirs, 1, 3)
    other.close()
    again = store.acquire(parts.version(3))
    # Whoever wrote two of its parts may have written over the third.
    assert again.unchecked(0, 1)
    assert again.unchecked(1, 2)
    assert again.check(0, 3) == []
    store.release(again)


def test_what_another_process_found_bad_is_absent(
    settings: CacheSettings, store: CacheStore, parts: Parts
) -> None:
    entry = store.acquire(parts.version(3))
    parts.write(entry, 0, 3)
    parts.close(store, entry)
    parts.damage(parts.data_file(settings.directory), parts.SIZE + 5)
    other = CacheStore.open(settings)
    assert other.acquire(parts.version(3)).check(0, 3) == [1]
    other.close()
    again = store.acquire(parts.version(3))
    assert again.missing(0, 3) == [range(1, 2)]
    assert again.check(0, 3) == []
    assert again.read(0, parts.SIZE) == parts.content(entry.geometry, 0)
    store.release(again)


def test_a_new_process_and_a_new_row_trust_nothing(
    settings: CacheSettings, store: CacheStore, parts: Parts
) -> None:
    entry = store.acquire(parts.version(3))
    parts.write(entry, 0, 3)
    parts.close(store, entry)
    other = CacheStore.open(settings)
    theirs = other.acquire(parts.version(3))
    assert theirs.unchecked(0, 3)
    other.discard(theirs)
    other.release(theirs)
    other.close()
    again = store.acquire(parts.version(3))
    assert again.progress.present_count == 0
    store.release(again)


def test_an_object_of_one_part_is_never_synced_and_so_checked_each_time(
    parts: Parts, settings: CacheSettings
) -> None:
    store = CacheStore.open(replace(settings, part_size=2 * parts.SIZE))
    entry = store.acquire(parts.version(2))
    parts.write(entry, 0, 1)
    parts.close(store, entry)
    path: Path = parts.data_file(settings.directory)
    parts.damage(path, 77)
    again = store.acquire(parts.version(2))
    assert again.check(0, 1) == [0]
    store.release(again)
    store.close()


def test_the_longest_closed_is_forgotten_first_and_each_is_recalled_once() -> None:
    memory = TrustMemory(limit=3 * (256 + 10))

    def remember(row: int, parts: bytes, epoch: int = 0) -> None:
        memory.remember(
            row, Trusted(ObjectVersion(str(row), "", 1), parts, {}, row % 2 == 0), epoch
        )

    for row in range(4):
        remember(row, bytes(9) + bytes([row + 1]))
        remember(1, b"b" * 10)
    assert [memory.recall(row, {})[-1:] for row in range(4)] == [b"", b"b", b"\x03", b"\x04"]
    assert memory.recall(1, {}) == b""
    remember(1, b"1")
    remember(2, b"2")
    assert [version.key for version in memory.clear()] == ["2"]
    remember(3, b"3")
    assert memory.recall(3, {}) == b"", "it was looked at before all was forgotten"
    remember(3, b"3", memory.epoch)
    assert memory.recall(3, {}) == b"3"
