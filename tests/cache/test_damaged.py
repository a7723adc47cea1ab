"""A catalogue that cannot be read."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore
from ossfs_resume.cache.failure import DamagedCatalog
from ossfs_resume.cache.folder import StoreFolder
from ossfs_resume.errors import CacheError

Parts = Any  # of conftest.py


def test_a_damaged_catalogue_is_moved_aside_with_its_data(
    settings: CacheSettings, parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    store = CacheStore.open(settings)
    parts.write(store.acquire(parts.version(2)), 0, 2)
    store.close()
    (settings.directory / "bucket" / "catalog.sqlite3").write_bytes(b"garbage" * 1000)
    store = CacheStore.open(settings)
    assert store.cached_bytes([parts.version(2)]) == [0]
    (aside,) = settings.directory.glob("bucket/damaged-*")
    assert (aside / "catalog.sqlite3").read_bytes().startswith(b"garbage")
    assert len(list(aside.glob("data/*/*"))) == 1
    assert len([r for r in caplog.records if r.levelno >= logging.ERROR]) == 1
    parts.write(store.acquire(parts.version(2)), 0, 2)
    store.close()


def test_a_damaged_catalogue_in_use_stays_where_it_is(settings: CacheSettings) -> None:
    CacheStore.open(settings).close()
    catalog = settings.directory / "bucket" / "catalog.sqlite3"
    catalog.write_bytes(b"garbage" * 1000)
    other = StoreFolder(settings.directory, settings.identity)
    other.make()
    other.register_owner()
    with pytest.raises(CacheError, match="not a database"):
        CacheStore.open(settings)
    assert catalog.exists()
    other.unregister_owner()


def scribble(catalog: Path) -> None:
    """Damage what is not looked at when the catalogue is opened."""
    with catalog.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xee" * (catalog.stat().st_size - 4096))


def test_damage_that_shows_in_use_is_moved_aside_at_the_next_opening(
    settings: CacheSettings, parts: Parts
) -> None:
    CacheStore.open(settings).close()
    scribble(settings.directory / "bucket" / "catalog.sqlite3")
    store = CacheStore.open(settings)
    with pytest.raises(DamagedCatalog, match="malformed"):
        store.acquire(parts.version(2))
    store.abandon()
    assert not list(settings.directory.glob("bucket/damaged-*"))
    store = CacheStore.open(settings)
    parts.write(store.acquire(parts.version(2)), 0, 2)
    store.close()
    assert list(settings.directory.glob("bucket/damaged-*/catalog.sqlite3"))


def test_a_suspicion_that_is_wrong_costs_nothing(settings: CacheSettings, parts: Parts) -> None:
    store = CacheStore.open(settings)
    parts.write(store.acquire(parts.version(2)), 0, 2)
    store.close()
    suspect = settings.directory / "bucket" / "suspect"
    suspect.touch()
    store = CacheStore.open(settings)
    assert store.cached_bytes([parts.version(2)]) == [2 * parts.SIZE]
    store.close()
    assert not suspect.exists()


@pytest.mark.parametrize("lose", [Path.unlink, lambda catalog: os.truncate(catalog, 0)])
def test_data_whose_catalogue_was_lost_are_moved_aside_and_not_removed(
    settings: CacheSettings,
    parts: Parts,
    caplog: pytest.LogCaptureFixture,
    lose: Callable[[Path], None],
) -> None:
    store = CacheStore.open(settings)
    parts.write(store.acquire(parts.version(2)), 0, 2)
    store.close()
    lose(settings.directory / "bucket" / "catalog.sqlite3")
    store = CacheStore.open(settings)
    assert "there are data; it is moved to" in caplog.text
    assert len(list(settings.directory.glob("bucket/damaged-*/data/*/*"))) == 1
    parts.write(store.acquire(parts.version(2)), 0, 2)
    store.close()
    CacheStore.open(settings).close()
    assert len(list(settings.directory.glob("bucket/damaged-*"))) == 1
