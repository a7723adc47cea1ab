"""Data files that no row names, and space that no row tells of."""

from pathlib import Path
from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore, leftovers
from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.data_file import DataFolder
from ossfs_resume.cache.directory import Directory
from ossfs_resume.cache.leftovers import Leftovers
from ossfs_resume.cache.small_objects import Blobs

Parts = Any  # of conftest.py


def run(settings: CacheSettings) -> None:
    """One whole pass."""
    folder = settings.directory / settings.identity
    catalog = Catalog(folder / "catalog.sqlite3").open()
    blobs = Blobs(folder / "small.sqlite3").open()
    one_pass = Leftovers(catalog, DataFolder(lambda: Directory.at(folder / "data")), blobs)
    one_pass.start()
    one_pass.wait()
    blobs.close()
    catalog.close()


def test_files_without_a_row_go_and_others_stay(settings: CacheSettings, parts: Parts) -> None:
    store = CacheStore.open(settings)
    parts.write(store.acquire(parts.version(2)), 0, 1)
    kept = parts.data_file(settings.directory)
    row_id = kept.name.partition("-")[0]
    strangers = [kept.with_name(f"{row_id}-other.0"), kept.with_name("99999-abc.0")]
    foreign = kept.with_name("README")
    for path in (*strangers, foreign):
        path.touch()
    run(settings)
    assert kept.exists()
    assert foreign.exists()
    assert not any(path.exists() for path in strangers)
    store.close()


def test_a_file_of_an_uncommitted_part_of_a_living_process_stays(
    settings: CacheSettings,
    parts: Parts,
) -> None:
    store = CacheStore.open(settings)
    entry = store.acquire(parts.version(2))
    parts.write(entry, 0, 2)
    run(settings)
    store.close()
    store = CacheStore.open(settings)
    assert store.acquire(parts.version(2)).check(0, 2) == []
    assert store.cached_bytes([parts.version(2)]) == [2 * parts.SIZE]
    store.close()


def test_opening_a_store_removes_them(settings: CacheSettings) -> None:
    CacheStore.open(settings).close()
    stranger = Path(settings.directory / "bucket" / "data" / "07" / "7-abc.0")
    stranger.parent.mkdir()
    stranger.touch()
    store = CacheStore.open(settings)
    store._leftovers.wait()
    assert not stranger.exists()
    store.close()


def test_a_rest_holds_up_no_unmount(
    settings: CacheSettings, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CacheStore.open(settings)
    parts.write(store.acquire(parts.version(2)), 0, 1)
    store.close()
    monkeypatch.setattr(leftovers, "_REST", 1e9)
    CacheStore.open(settings).close()


def test_what_a_killed_process_had_not_committed_is_counted_and_can_be_evicted(
    settings: CacheSettings, parts: Parts
) -> None:
    store = CacheStore.open(settings)
    parts.write(store.acquire(parts.version(3)), 0, 2)
    store.abandon()
    taken = parts.data_file(settings.directory).stat().st_blocks * 512
    store = CacheStore.open(settings)
    store._leftovers.wait()
    (record,) = store.keeper.records()
    assert record.allocated == taken
    store.keeper.evict(parts.version(3))
    assert list(settings.directory.glob("bucket/data/*/*")) == []
    store.close()


def test_what_a_living_process_has_not_committed_is_counted_once(
    settings: CacheSettings, parts: Parts
) -> None:
    store = CacheStore.open(settings)
    parts.write(store.acquire(parts.version(3)), 0, 2)
    run(settings)
    store.commit()
    (record,) = store.keeper.records()
    assert record.allocated == parts.data_file(settings.directory).stat().st_blocks * 512
    store.close()
