"""A cache can always give room, and a disk in trouble keeps nobody from opening it."""

import errno
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore
from ossfs_resume.cache.ballast import Ballast
from ossfs_resume.cache.folder import StoreFolder
from ossfs_resume.cache.workbench import opened
from ossfs_resume.errors import CacheError, DiskFull
from support.disks import tmpfs
from support.machine import NO_FLAGS, needs_ordinary_user
from support.waiting import eventually

Parts = Any  # of conftest.py

MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 10 MiB."""
    with tmpfs(tmp_path / "disk", 10 * MIB) as disk:
        yield disk


def fill(disk: Path) -> None:
    """Another program takes all that is left."""
    with suppress(OSError), (disk / "other").open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def store_objects(settings: CacheSettings, parts: Parts, count: int) -> None:
    store = CacheStore.open(settings)
    for number in range(count):
        entry = store.acquire(parts.version(4, key=f"key {number}"))
        parts.write(entry, 0, 4)
        store.release(entry)
    store.close()


def test_on_a_full_disk_without_a_reserve_everything_can_be_evicted(
    disk: Path, parts: Parts
) -> None:
    settings = parts.quiet(disk / "cache")
    store_objects(settings, parts, 10)
    (settings.directory / "bucket/ballast").unlink()
    fill(disk)
    store = CacheStore.open(settings)
    assert store.keeper.evict_below("") == 10
    assert not list(store.keeper.records())
    assert not list(settings.directory.glob("bucket/data/*/*"))
    store.close()


def test_a_tool_evicts_from_a_full_disk(disk: Path, parts: Parts) -> None:
    settings = parts.quiet(disk / "cache")
    store_objects(settings, parts, 4)
    (settings.directory / "bucket/ballast").unlink()
    fill(disk)
    with opened(settings.directory, settings.identity) as bench:
        assert bench.keeper.evict_below("") == 4
        assert not list(bench.keeper.records())


def test_a_crash_between_file_and_row_costs_the_parts_and_no_byte(
    settings: CacheSettings, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_objects(settings, parts, 1)
    store = CacheStore.open(settings)
    version = parts.version(4, key="key 0")

    def full(*_: object, **__: object) -> object:
        raise DiskFull("cannot change the catalogue: database or disk is full")

    with monkeypatch.context() as disk:
        disk.setattr(store._catalog, "transaction", full)
        with pytest.raises(DiskFull):
            store.keeper.evict(version)
    assert not list(settings.directory.glob("bucket/data/*/*"))
    entry = store.acquire(version)
    assert entry.check(0, 4) == [0, 1, 2, 3]
    parts.write(entry, 0, 4)
    assert entry.read(0, 4 * parts.SIZE) == parts.whole(entry.geometry)
    store.release(entry)
    store.abandon()
    store = CacheStore.open(settings)
    entry = store.acquire(version)
    assert entry.missing(0, 4) + entry.progress.unchecked(0, 4) == [range(4)]
    entry.check(0, 4)
    parts.write(entry, 0, 4)
    assert entry.read(0, 4 * parts.SIZE) == parts.whole(entry.geometry)
    store.release(entry)
    store.close()


def test_nothing_is_kept_before_there_is_room_to_remove_it(
    store: CacheStore, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    entry = store.acquire(parts.version(4))
    with monkeypatch.context() as disk:
        disk.setattr(Ballast, "_load", full)
        with pytest.raises(CacheError, match="reserve"):
            parts.write(entry, 0, 1)
    assert entry.progress.present_count == 0
    parts.write(entry, 0, 1)
    assert entry.progress.present_count == 1
    store.release(entry)


@pytest.fixture
def immutable(tmp_path: Path) -> Iterator[Path]:
    """A directory in which nothing can be made."""
    directory = tmp_path / "immutable"
    directory.mkdir()
    if subprocess.run(["chattr", "+i", directory], capture_output=True, check=False).returncode:
        pytest.skip(NO_FLAGS)
    yield directory
    subprocess.run(["chattr", "-i", directory], check=True)


def test_a_disk_in_trouble_at_the_start_is_gone_without_until_it_is_over(
    immutable: Path, parts: Parts, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ossfs_resume.cache.threads.INTERVAL_S", 0.02)
    store = CacheStore.open(parts.quiet(immutable / "cache"))
    warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert any("going on without the cache" in text for text in warnings)
    with pytest.raises(CacheError):
        store.acquire(parts.version(4))
    with pytest.raises(CacheError):
        store.statvfs()
    subprocess.run(["chattr", "-i", immutable], check=True)
    eventually(lambda: store._catalog.is_open)
    entry = store.acquire(parts.version(4))
    parts.write(entry, 0, 4)
    store.release(entry)
    store.close()
    assert (immutable / "cache/bucket/catalog.sqlite3").exists()


@pytest.mark.parametrize("name", ["catalog.sqlite3", "lock", "owners"])
def test_a_file_that_nobody_can_change_is_the_trouble_of_a_disk(
    tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """And not of a user who chose a place that he may not use."""
    monkeypatch.setattr("ossfs_resume.cache.threads.INTERVAL_S", 0.02)
    settings = parts.quiet(tmp_path)
    CacheStore.open(settings).close()
    file = tmp_path / "bucket" / name
    if subprocess.run(["chattr", "+i", file], capture_output=True, check=False).returncode:
        pytest.skip(NO_FLAGS)
    try:
        store = CacheStore.open(settings)
        with pytest.raises(CacheError):
            store.acquire(parts.version(2))
    finally:
        subprocess.run(["chattr", "-i", file], check=True)
    eventually(lambda: store._catalog.is_open)
    store.close()


def test_an_empty_disk_that_is_read_only_is_gone_without_until_it_is_writable(
    tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ossfs_resume.cache.threads.INTERVAL_S", 0.02)
    with monkeypatch.context() as disk:
        disk.setattr("ossfs_resume.cache.folder.is_read_only", lambda _path: True)
        store = CacheStore.open(parts.quiet(tmp_path))
        with pytest.raises(CacheError):
            store.acquire(parts.version(2))
    eventually(lambda: store._catalog.is_open)
    store.close()


@needs_ordinary_user
def test_a_directory_that_may_not_be_written_is_an_error(tmp_path: Path, parts: Parts) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(CacheError, match="ermission denied"):
        CacheStore.open(parts.quiet(tmp_path / "cache"))


def test_a_catalogue_that_needs_room_to_be_opened_gets_the_reserve(
    settings: CacheSettings, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_objects(settings, parts, 2)
    ballast = settings.directory / "bucket/ballast"
    real = StoreFolder.register_owner

    def register(folder: StoreFolder) -> None:
        if ballast.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        real(folder)

    monkeypatch.setattr(StoreFolder, "register_owner", register)
    store = CacheStore.open(settings)
    assert store.keeper.evict_below("") == 2
    store.close()
