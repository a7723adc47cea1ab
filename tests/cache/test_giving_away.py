"""A complete entry's file becomes somebody else's, and nothing is left that could change it."""

import os
from pathlib import Path
from typing import Any

import pytest

from ossfs_resume.cache import CacheStore
from ossfs_resume.errors import CacheError

Parts = Any  # of conftest.py


def ignore(descriptor: int) -> None:
    """Nothing to be prepared."""


def test_the_file_is_renamed_and_the_store_has_nothing_of_it(
    store: CacheStore, parts: Parts, tmp_path: Path
) -> None:
    entry, place = store.acquire(parts.version(3, less=5)), tmp_path / "place"
    parts.write(entry, 0, 3)
    store.commit()
    inode = parts.data_file(tmp_path / "cache").stat().st_ino
    store.give_away(entry, place, lambda descriptor: os.utime(descriptor, (1, 1)))
    assert place.stat().st_ino == inode
    assert place.stat().st_mtime == 1
    assert place.read_bytes() == parts.whole(entry.geometry)
    assert store.state(entry.version) is None
    with pytest.raises(CacheError):
        parts.write(entry, 0, 1)
    store.release(entry)
    again = store.acquire(entry.version)
    assert again.missing(0, 3) == [range(3)]
    parts.write(again, 0, 3)
    store.discard(again)
    store.release(again)
    store.close()
    assert place.read_bytes() == parts.whole(entry.geometry)


def test_one_that_is_incomplete_stays(store: CacheStore, parts: Parts, tmp_path: Path) -> None:
    entry = store.acquire(parts.version(3))
    parts.write(entry, 0, 2)
    with pytest.raises(CacheError, match="incomplete"):
        store.give_away(entry, tmp_path / "place", ignore)
    assert entry.read(0, 10) == parts.content(entry.geometry, 0)[:10]
    assert not (tmp_path / "place").exists()


def test_one_that_another_process_has_open_stays(
    store: CacheStore, parts: Parts, tmp_path: Path
) -> None:
    entry = store.acquire(parts.version(2))
    parts.write(entry, 0, 2)
    store.commit()
    other = CacheStore.open(parts.quiet(tmp_path / "cache"))
    held = other.acquire(entry.version)
    with pytest.raises(CacheError, match="in use"):
        store.give_away(entry, tmp_path / "place", ignore)
    other.release(held)
    other.close()
    store.give_away(entry, tmp_path / "place", ignore)
    assert (tmp_path / "place").read_bytes() == parts.whole(entry.geometry)


def test_where_it_cannot_go_it_stays(store: CacheStore, parts: Parts, tmp_path: Path) -> None:
    entry = store.acquire(parts.version(2))
    parts.write(entry, 0, 2)
    with pytest.raises(NotADirectoryError):
        store.give_away(entry, parts.data_file(tmp_path / "cache") / "below", ignore)
    assert entry.read(0, 10) == parts.content(entry.geometry, 0)[:10]
    store.give_away(entry, tmp_path / "place", ignore)
    assert (tmp_path / "place").read_bytes() == parts.whole(entry.geometry)
