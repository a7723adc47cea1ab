"""Trust that outlives an open file."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore, Entry
from ossfs_resume.cache.trust import TrustMemory
from ossfs_resume.errors import CacheError

Parts = Any  # of conftest.py


def closed(store: CacheStore, entry: Entry) -> None:
    store.release(entry)
    store.sync()
    store.commit()
    assert store.statistics().open_entries == 0


def test_an_entry_that_was_closed_idle_is_not_checked_again(
    store: CacheStore, parts: Parts
) -> None:
    entry = store.acquire(parts.version(3))
    parts.write(entry, 0, 2)
    closed(store, entry)
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
    closed(store, entry)
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


def cut(path: Path) -> None:
    os.truncate(path, 1)


def cut_and_stretch(path: Path) -> None:
    size = path.stat().st_size
    os.truncate(path, 1)
    os.truncate(path, size)


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"another program's")


def replace(path: Path) -> None:
    size = path.stat().st_size
    path.unlink()
    path.write_bytes(bytes(size))


TOUCHES = pytest.mark.parametrize("touch", [cut, cut_and_stretch, overwrite, replace, Path.unlink])


@TOUCHES
def test_a_closed_file_that_somebody_touched_is_checked(
    settings: CacheSettings, store: CacheStore, parts: Parts, touch: Callable[[Path], object]
) -> None:
    entry = store.acquire(parts.version(3))
    parts.write(entry, 0, 3)
    closed(store, entry)
    touch(parts.data_file(settings.directory))
    again = store.acquire(parts.version(3))
    assert 0 in again.check(0, 3)
    for run in again.missing(0, 3):
        parts.write(again, run.start, run.stop)
    assert again.read(0, 3 * parts.SIZE) == parts.whole(entry.geometry)
    store.release(again)


@TOUCHES
@pytest.mark.parametrize("is_written_first", [False, True])
def test_an_open_file_that_somebody_touched_is_checked_before_a_byte_is_served(
    settings: CacheSettings,
    store: CacheStore,
    parts: Parts,
    touch: Callable[[Path], object],
    is_written_first: bool,
) -> None:
    entry = store.acquire(parts.version(5))
    parts.write(entry, 0, 3)
    store.commit()
    touch(parts.data_file(settings.directory))
    if is_written_first:
        with suppress(CacheError):
            parts.write(entry, 4, 5)
    for read in (entry.read, entry.read_nowait):
        for part in (2, 1, 0):
            with suppress(CacheError):
                data = read(part * parts.SIZE, parts.SIZE)
                assert data in (None, parts.content(entry.geometry, part))
    bad = entry.check(0, 5)
    assert (0 in bad) == (touch not in (replace, Path.unlink))
    for run in entry.missing(0, 3):
        parts.write(entry, run.start, run.stop)
    assert entry.read(0, 3 * parts.SIZE) == parts.whole(entry.geometry)[: 3 * parts.SIZE]
    store.release(entry)


def test_what_is_written_into_a_file_that_was_removed_is_not_kept(
    settings: CacheSettings, store: CacheStore, parts: Parts
) -> None:
    entry = store.acquire(parts.version(5))
    parts.write(entry, 0, 1)
    parts.data_file(settings.directory).unlink()
    with pytest.raises(CacheError, match="removed"):
        parts.write(entry, 1, 2)
    assert not entry.is_open
    store.release(entry)


def test_our_own_writing_and_removing_casts_no_doubt(store: CacheStore, parts: Parts) -> None:
    entry = store.acquire(parts.version(5))
    for part in range(5):
        parts.write(entry, part, part + 1)
        assert entry.read(part * parts.SIZE, parts.SIZE) == parts.content(entry.geometry, part)
    assert entry.remove_parts(parts.SIZE, 1) == parts.SIZE
    store.commit()
    store.sync()
    assert entry.read(4 * parts.SIZE, parts.SIZE) == parts.content(entry.geometry, 4)
    assert not entry.unchecked(0, 5)
    store.release(entry)


def test_what_another_process_found_bad_is_absent(
    settings: CacheSettings, store: CacheStore, parts: Parts
) -> None:
    entry = store.acquire(parts.version(3))
    parts.write(entry, 0, 3)
    closed(store, entry)
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
    closed(store, entry)
    other = CacheStore.open(settings)
    theirs = other.acquire(parts.version(3))
    assert theirs.unchecked(0, 3)
    other.discard(theirs)
    other.release(theirs)
    other.close()
    again = store.acquire(parts.version(3))
    assert again.present_count == 0
    store.release(again)


def test_an_object_of_one_part_is_never_synced_and_so_checked_each_time(
    store: CacheStore, parts: Parts, settings: CacheSettings
) -> None:
    entry = store.acquire(parts.version(1))
    parts.write(entry, 0, 1)
    closed(store, entry)
    path: Path = parts.data_file(settings.directory)
    parts.damage(path, 77)
    again = store.acquire(parts.version(1))
    assert again.check(0, 1) == [0]
    store.release(again)


def test_the_longest_closed_is_forgotten_first() -> None:
    memory = TrustMemory(limit=3 * (256 + 10))
    for row in range(4):
        memory.remember(row, bytes(9) + bytes([row + 1]), {})
        memory.remember(1, b"b" * 10, {})
    assert [memory.recall(row, {})[-1:] for row in range(4)] == [b"", b"b", b"\x03", b"\x04"]
