"""Commits that fail, and are made up for."""

import errno
import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore
from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.data_file import DataFile
from ossfs_resume.cache.directory import Directory
from ossfs_resume.cache.segment_files import SegmentFiles
from ossfs_resume.cache.transaction import Transaction
from ossfs_resume.errors import CacheError

Parts = Any  # of conftest.py


class FailingCatalog(Catalog):
    """Rolls back the next transactions after their work was done."""

    failures = 0

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[Transaction]:
        with super().transaction(durable=durable) as transaction:
            yield transaction
            if self.failures:
                self.failures -= 1
                raise sqlite3.OperationalError("disk I/O error")


@pytest.fixture
def failing(
    settings: CacheSettings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[CacheStore, FailingCatalog]]:
    monkeypatch.setattr("ossfs_resume.cache.store.Catalog", FailingCatalog)
    store = CacheStore.open(settings)
    catalog = store._catalog
    assert isinstance(catalog, FailingCatalog)
    yield store, catalog
    store.close()


def test_what_could_not_be_committed_is_committed_the_next_time(
    failing: tuple[CacheStore, FailingCatalog], settings: CacheSettings, parts: Parts
) -> None:
    store, catalog = failing
    entry = store.acquire(parts.version(3))
    parts.write(entry, 0, 3)
    catalog.failures = 1
    with pytest.raises(CacheError, match="disk I/O error"):
        store.commit()
    assert catalog.present_bytes([parts.version(3)]) == [0]
    assert entry.read(0, 3 * parts.SIZE) == parts.whole(entry.geometry)
    store.commit()
    assert catalog.present_bytes([parts.version(3)]) == [3 * parts.SIZE]


@pytest.mark.parametrize("opened", ["file", "folder"])
def test_what_could_not_be_opened_to_be_synced_is_synced_later_and_not_discarded(
    store: CacheStore, parts: Parts, monkeypatch: pytest.MonkeyPatch, opened: str
) -> None:
    """A process without descriptors knows nothing bad of its disk."""

    def no_more(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    entry = store.acquire(parts.version(3))
    parts.write(entry, 0, 3)
    with monkeypatch.context() as limited:
        place = SegmentFiles if opened == "file" else Directory
        limited.setattr(place, "_open_all" if opened == "file" else "enter", no_more)
        store.sync()
    assert entry.read(0, 3 * parts.SIZE) == parts.whole(entry.geometry)
    assert store.statistics().unsynced_bytes == 3 * parts.SIZE
    assert entry._backing.file._has_new_names
    store.sync()
    assert store.statistics().unsynced_bytes == 0
    store.release(entry)


def test_what_could_not_be_marked_synced_is_synced_again(
    failing: tuple[CacheStore, FailingCatalog], parts: Parts
) -> None:
    store, catalog = failing
    parts.write(store.acquire(parts.version(3)), 0, 3)
    catalog.failures = 1
    with pytest.raises(CacheError, match="disk I/O error"):
        store.sync()
    assert store.statistics().unsynced_bytes == 3 * parts.SIZE
    store.sync()
    assert store.statistics().unsynced_bytes == 0
    (loaded,) = catalog.load([parts.version(3)])
    assert loaded is not None
    assert loaded[1].synced[0] == 0b111


def test_bad_parts_are_cleared_in_memory_even_if_the_catalogue_cannot_be_changed(
    settings: CacheSettings, monkeypatch: pytest.MonkeyPatch, parts: Parts
) -> None:
    monkeypatch.setattr("ossfs_resume.cache.store.Catalog", FailingCatalog)
    store = CacheStore.open(settings)
    parts.write(store.acquire(parts.version(3)), 0, 3)
    store.close()
    parts.damage(parts.data_file(settings.directory), 0)
    store = CacheStore.open(settings)
    entry = store.acquire(parts.version(3))
    assert isinstance(store._catalog, FailingCatalog)
    store._catalog.failures = 1
    assert entry.check(0, 3) == [0]
    assert entry.missing(0, 3) == [range(1)]
    store.close()


def test_a_background_failure_is_logged_once_and_shown_until_it_is_over(
    failing: tuple[CacheStore, FailingCatalog], parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    store, catalog = failing
    committer = store._committer
    parts.write(store.acquire(parts.version(3)), 0, 3)
    catalog.failures = 2
    with caplog.at_level(logging.INFO, "ossfs_resume.cache.committer"):
        for _ in range(2):
            committer._in_background(committer.commit)
            assert "disk I/O error" in store.statistics().error
        committer._in_background(committer.commit)
    assert store.statistics().error == ""
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_threads_that_write_read_discard_and_sync_at_once_agree(
    settings: CacheSettings, parts: Parts
) -> None:
    """Every byte read is right, and the catalogue claims nothing in the end that is not there."""
    store = CacheStore.open(settings)
    failures: list[BaseException] = []
    writers = 4
    at_work = threading.Barrier(writers + 1)

    def use(seed: int) -> None:
        try:
            at_work.wait()
            for number in range(60):
                version = parts.version(8, key=f"key {number % 5}")
                entry = store.acquire(version)
                try:
                    for run in entry.missing(0, 8):
                        parts.write(entry, run.start, run.stop)
                    entry.check(0, 8)
                    start = (number + seed) % 8 * parts.SIZE
                    data = entry.read(start, parts.SIZE)
                    assert data == parts.content(entry.geometry, (number + seed) % 8)
                    if number % 10 == seed:
                        store.discard(entry)
                except CacheError:
                    assert not entry.progress.is_open
                finally:
                    store.release(entry)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(writers)]
    for thread in threads:
        thread.start()
    at_work.wait()
    while any(thread.is_alive() for thread in threads):
        store.commit()
        store.sync()
    assert failures == []
    store.close()
    store = CacheStore.open(settings)
    for number in range(5):
        entry = store.acquire(parts.version(8, key=f"key {number}"))
        assert entry.check(0, 8) == []
    assert len(list(settings.directory.glob("bucket/data/*/*"))) <= 5
    store.close()


class Fragmented(DataFile):
    """On a file system that makes a block for its map of the file when it writes the bytes."""

    is_synced = False

    def sync(self) -> None:
        super().sync()
        self.is_synced = True

    def allocated(self) -> int:
        return super().allocated() + 4096 * self.is_synced


def test_what_a_file_takes_is_counted_again_when_it_was_synced(
    settings: CacheSettings, parts: Parts
) -> None:
    store = CacheStore.open(settings, data_file=Fragmented)
    parts.write(store.acquire(parts.version(3)), 0, 2)
    store.commit()
    (record,) = store.keeper.records()
    store.sync()
    (synced,) = store.keeper.records()
    assert synced.allocated == record.allocated + 4096
    store.close()
