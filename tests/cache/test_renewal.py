"""A directory that is removed, and a disk that allows more than it did, under an open store."""

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore
from ossfs_resume.cache.workbench import opened
from ossfs_resume.errors import CacheError
from support.disks import ext4_disk
from support.waiting import eventually

Parts = Any  # of conftest.py

MIB = 1 << 20


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ossfs_resume.cache.threads.INTERVAL_S", 0.05)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    with ext4_disk(tmp_path / "disk", 16 * MIB):
        yield tmp_path / "disk"


def store_whole(store: CacheStore, parts: Parts, key: str) -> None:
    entry = store.acquire(parts.version(4, key=key))
    parts.write(entry, 0, 4)
    store.release(entry)
    store.commit()
    store.sync()


def test_after_its_directory_was_removed_a_store_begins_anew(
    store: CacheStore, settings: CacheSettings, parts: Parts
) -> None:
    store.notes.mark_known()
    held = store.acquire(parts.version(4, key="held"))
    parts.write(held, 0, 2)
    store_whole(store, parts, "closed")
    shutil.rmtree(settings.directory)
    eventually(lambda: (settings.directory / "bucket/catalog.sqlite3").exists())
    eventually(lambda: not held.progress.is_open)
    assert held.check(0, 4) == []
    assert held.read(0, 2 * parts.SIZE) == parts.whole(held.geometry)[: 2 * parts.SIZE]
    assert store.cached_bytes([parts.version(4, key="closed")]) == [0]
    # Row numbers begin anew: nothing that is remembered by number may count.
    store_whole(store, parts, "other")
    again = store.acquire(parts.version(4, key="held"))
    assert again.progress.present_count == 0
    parts.write(again, 2, 4)
    store.release(again)
    store.release(held)
    store.close()
    reopened = CacheStore.open(settings)
    assert not reopened.notes.is_new
    for key, present in (("held", 2), ("other", 4)):
        entry = reopened.acquire(parts.version(4, key=key))
        assert (entry.progress.present_count, entry.check(0, 4)) == (present, [])
        reopened.release(entry)
    reopened.close()


def test_after_its_data_alone_were_removed_a_store_keeps_what_comes(
    store: CacheStore, settings: CacheSettings, parts: Parts
) -> None:
    store_whole(store, parts, "old")
    data = settings.directory / "bucket/data"
    shutil.rmtree(data)
    eventually(data.exists)
    entry = store.acquire(parts.version(4, key="old"))
    assert entry.check(0, 4) == [0, 1, 2, 3]
    parts.write(entry, 0, 4)
    store.release(entry)
    store_whole(store, parts, "new")
    store.close()
    reopened = CacheStore.open(settings)
    for key in ("old", "new"):
        entry = reopened.acquire(parts.version(4, key=key))
        assert (entry.missing(0, 4), entry.check(0, 4)) == ([], [])
        reopened.release(entry)
    reopened.close()


def test_who_removed_it_may_have_made_another(
    store: CacheStore, settings: CacheSettings, parts: Parts
) -> None:
    store_whole(store, parts, "old")
    settings.directory.rename(settings.directory.with_name("moved"))
    other = CacheStore.open(settings)
    store_whole(other, parts, "new")

    def sees_the_other() -> bool:
        with suppress(CacheError):  # in one process, one may be in the other's way for a moment
            return store.cached_bytes([parts.version(4, key="new")]) == [4 * parts.SIZE]
        return False

    eventually(sees_the_other)
    assert store.cached_bytes([parts.version(4, key="old")]) == [0]
    with opened(settings.directory, settings.identity) as bench:
        assert bench.owners == 2
    other.close()
    store_whole(store, parts, "later")
    with sqlite3.connect(settings.directory / "bucket/catalog.sqlite3") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_a_disk_that_was_read_only_takes_parts_when_it_may_be_written(
    disk: Path, parts: Parts
) -> None:
    settings = parts.quiet(disk / "cache")
    CacheStore.open(settings).close()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    store = CacheStore.open(settings)
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    eventually(lambda: not store._catalog.is_limited())
    store_whole(store, parts, "key")
    store.close()
    store = CacheStore.open(settings)
    assert store.cached_bytes([parts.version(4)]) == [4 * parts.SIZE]
    store.close()


def test_a_disk_that_was_full_lets_others_in_when_there_is_room(disk: Path, parts: Parts) -> None:
    settings = parts.quiet(disk / "cache")
    CacheStore.open(settings).close()
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    store = CacheStore.open(settings)
    assert store._catalog.is_open
    ballast.unlink()
    store_whole(store, parts, "key")
    other = CacheStore.open(settings)
    assert other.cached_bytes([parts.version(4)]) == [4 * parts.SIZE]
    other.close()
    store.close()
