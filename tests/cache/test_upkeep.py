"""The database of small objects is damaged, removed, or has more free pages than it needs."""

import shutil
import sqlite3
from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore, small_objects
from ossfs_resume.errors import CacheError
from support.small_objects import SIZE, content, fill, rows, version, write
from support.waiting import eventually

Parts = Any  # of conftest.py


def test_eviction_deletes_and_gives_back(settings: CacheSettings) -> None:
    store = CacheStore.open(settings)
    for number in range(100):
        store.release(write(store, number, 60_000))
    store.commit()
    store.sync()
    path = settings.directory / "bucket" / "small.sqlite3"
    eventually(lambda: path.stat().st_size > 6_000_000)
    assert store.keeper.evict_below("") == 100
    assert rows(store) == 0
    assert store._catalog.allocated() == 0
    eventually(lambda: store._blobs.free_bytes() <= small_objects.VACUUM_PAGES * 4096)
    eventually(lambda: path.stat().st_size < 2_000_000)
    store.close()


def test_damage_is_moved_aside_and_costs_nothing_else(
    settings: CacheSettings, parts: Parts
) -> None:
    store = CacheStore.open(settings)
    fill(store, 10)
    parts.write(store.acquire(parts.version(3)), 0, 3)
    store.close()
    path = settings.directory / "bucket" / "small.sqlite3"
    path.write_bytes(b"this is no database" * 1000)
    store = CacheStore.open(settings)
    assert len(list(settings.directory.glob("bucket/damaged-*/small.sqlite3"))) == 1
    assert store.cached_bytes([parts.version(3)]) == [3 * parts.SIZE]
    store._leftovers.wait()
    assert store.cached_bytes([version(1)]) == [0], "the catalogue was told"
    store.release(write(store, 1))
    store.commit()
    assert rows(store) == 1
    store.close()


def test_damage_in_use_is_noticed_and_moved_aside(settings: CacheSettings) -> None:
    store = CacheStore.open(settings)
    error = sqlite3.DatabaseError("malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    with pytest.raises(CacheError), store._blobs._writing():
        raise error
    suspect = settings.directory / "bucket" / "suspect-small"
    assert suspect.exists()
    assert not (settings.directory / "bucket" / "suspect").exists()
    eventually(lambda: not suspect.exists())  # looked through, and found sound
    store.release(write(store, 1))
    store.commit()
    store.close()


def test_a_database_that_was_removed_is_begun_anew(settings: CacheSettings) -> None:
    store = CacheStore.open(settings)
    fill(store, 3)
    for path in settings.directory.glob("bucket/small.sqlite3*"):
        path.unlink()
    eventually(lambda: (settings.directory / "bucket" / "small.sqlite3").exists())
    eventually(lambda: store._blobs.is_usable and not store._blobs.is_displaced())
    store.release(write(store, 9))
    store.commit()
    assert rows(store) == 1
    store.close()


def test_the_cache_directory_was_removed(settings: CacheSettings) -> None:
    store = CacheStore.open(settings)
    fill(store, 3)
    held = store.acquire(version(1))
    shutil.rmtree(settings.directory / "bucket")
    eventually(lambda: (settings.directory / "bucket" / "small.sqlite3").exists())
    eventually(lambda: store._blobs.is_usable and not store._catalog.is_displaced())
    assert held.read_nowait(0, SIZE) == content(1)
    store.release(held)
    fill(store, 3)
    assert rows(store) == 3
    store.close()


def test_what_a_crash_left_without_its_other_half_goes(settings: CacheSettings) -> None:
    store = CacheStore.open(settings)
    fill(store, 10)
    row = store._catalog.find(version(4))
    assert row is not None
    store._blobs.delete([row.row_id])
    store._blobs.store([(500, b"rubbish"), (3000, b"rubbish")])
    store.close()
    store = CacheStore.open(settings)
    store._leftovers.wait()
    assert rows(store) == 9
    assert store.cached_bytes([version(4), version(5)]) == [0, SIZE]
    store.close()
