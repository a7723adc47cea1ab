"""Small objects: bytes in rows, in one commit with their marks."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore, blobs
from ossfs_resume.errors import CacheError
from support.small_objects import SIZE, content, fill, rows, version, write
from support.waiting import eventually

Parts = Any  # of conftest.py


@pytest.fixture
def filled(settings: CacheSettings) -> Iterator[CacheStore]:
    """Ten small objects that another process has stored."""
    with_them = CacheStore.open(settings)
    fill(with_them, 10)
    with_them.close()
    store = CacheStore.open(settings)
    yield store
    store.close()


def test_a_small_object_has_no_file_and_is_there_after_a_restart(
    filled: CacheStore, settings: CacheSettings
) -> None:
    assert list(settings.directory.glob("bucket/data/*/*")) == []
    for number in range(10):
        entry = filled.acquire(version(number))
        assert entry.progress.is_verified
        assert entry.unchecked(0, 1), "nobody has compared it in this process"
        assert entry.read_nowait(10, 100) == content(number)[10:110]
        assert not entry.unchecked(0, 1)
        filled.release(entry)


@pytest.mark.parametrize(("size", "files"), [(blobs.MOST_BYTES, 0), (blobs.MOST_BYTES + 4, 1)])
def test_up_to_64_kib_are_small(settings: CacheSettings, size: int, files: int) -> None:
    store = CacheStore.open(replace(settings, part_size=256 * 1024))
    write(store, 1, size)
    store.close()
    assert len(list(settings.directory.glob("bucket/data/*/*"))) == files


def test_it_can_be_read_before_it_is_committed_and_is_lost_with_the_process(
    settings: CacheSettings,
) -> None:
    store = CacheStore.open(settings)
    entry = write(store, 1)
    assert entry.read_nowait(0, SIZE) == content(1)
    assert store.state(version(1)) == entry.summary
    assert entry.stock is None, "no statement was made for it yet"
    store.abandon()
    store = CacheStore.open(settings)
    assert store.cached_bytes([version(1)]) == [0]
    store.close()


def test_sixty_four_are_committed_before_the_interval_is_over(settings: CacheSettings) -> None:
    store = CacheStore.open(replace(settings, commit_bytes=1 << 20))
    for number in range(64):
        store.release(write(store, number))
    eventually(lambda: store.statistics().commits == 1)
    assert rows(store) == 64
    store.abandon()


def test_bytes_and_mark_come_together_or_not_at_all(settings: CacheSettings) -> None:
    store = CacheStore.open(settings)
    entry = write(store, 1)
    store._blobs._require_writer().execute("PRAGMA query_only = 1")
    with pytest.raises(CacheError):
        store.commit()
    assert store._catalog.find(version(1)) is None
    assert entry.stock is None
    assert entry.read_nowait(0, SIZE) == content(1)
    store._blobs._require_writer().execute("PRAGMA query_only = 0")
    store.commit()
    assert rows(store) == 1
    store.abandon()
    store = CacheStore.open(settings)
    assert store.acquire(version(1)).check(0, 1) == []
    store.close()


def test_what_fails_for_small_objects_holds_up_no_other(
    settings: CacheSettings, parts: Parts
) -> None:
    store = CacheStore.open(settings)
    write(store, 1)
    parts.write(store.acquire(parts.version(3)), 0, 3)
    store._blobs._require_writer().execute("PRAGMA query_only = 1")
    with pytest.raises(CacheError):
        store.commit()
    store.abandon()
    store = CacheStore.open(settings)
    assert store.cached_bytes([version(1), parts.version(3)]) == [0, 3 * parts.SIZE]
    store.close()


def test_what_waits_for_a_commit_is_bounded(
    settings: CacheSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "PENDING_BYTES", 3 * SIZE)
    store = CacheStore.open(settings)
    for number in range(3):
        write(store, number)
    entry = store.acquire(version(3))
    with pytest.raises(CacheError, match="as fast as they come"):
        entry.write_parts(0, [(content(3),)])
    assert entry.missing(0, 1)
    store.commit()
    entry.write_parts(0, [(content(3),)])
    store.close()


def test_bad_bytes_are_found_at_first_use_and_can_be_replaced(filled: CacheStore) -> None:
    row = filled._catalog.find(version(3))
    assert row is not None
    filled._blobs.store([(row.row_id, b"x" * SIZE)])
    entry = filled.acquire(version(3))
    with pytest.raises(CacheError, match="not what was stored"):
        entry.read_nowait(0, SIZE)
    with pytest.raises(CacheError, match="are not what"):
        entry.read(0, SIZE)
    assert entry.missing(0, 1)
    entry.write_parts(0, [(content(3),)])
    filled.commit()
    filled.release(entry)
    filled.commit()
    again = filled.acquire(version(3))
    assert again.check(0, 1) == []
    filled.release(again)


def test_a_row_without_bytes_is_absent_and_ends_no_trust(filled: CacheStore) -> None:
    other = filled.acquire(version(1))
    assert other.check(0, 1) == []
    row = filled._catalog.find(version(3))
    assert row is not None
    filled._blobs.delete([row.row_id])
    entry = filled.acquire(version(3))
    assert entry.missing(0, 1)
    assert filled.cached_bytes([version(3)]) == [0]
    assert filled._trust.ends == 0
    for held in (entry, other):
        filled.release(held)


def test_an_old_store_with_files_is_read_as_it_is(settings: CacheSettings) -> None:
    """As a program without this database left it."""
    store = CacheStore.open(settings)
    store._blobs.close()
    store.release(write(store, 1))
    store.commit()
    store.close()
    (path,) = settings.directory.glob("bucket/data/*/*")
    for name in settings.directory.glob("bucket/small.sqlite3*"):
        name.unlink()
    store = CacheStore.open(settings)
    entry = store.acquire(version(1))
    assert entry.check(0, 1) == []
    assert path.exists()
    store.release(entry)
    store.commit()
    store.keeper.evict(version(1))
    assert not path.exists()
    store.release(write(store, 1))
    store.commit()
    assert rows(store) == 1
    store.close()


def test_who_has_it_open_reads_on_when_it_is_evicted(settings: CacheSettings) -> None:
    store = CacheStore.open(settings)
    entry = write(store, 1)
    store.commit()
    row = store._catalog.find(version(1))
    assert row is not None
    with store._catalog.transaction() as transaction:  # as another process does it
        transaction.remove(entry.generation)
    store._blobs.delete([row.row_id])
    assert entry.read_nowait(0, SIZE) == content(1)
    store.commit()
    assert entry.read(0, SIZE) == content(1)
    store.release(entry)
    fresh = store.acquire(version(1))
    assert fresh.missing(0, 1)
    store.release(fresh)
    store.close()


def test_a_discard_during_its_commit_leaves_nothing(settings: CacheSettings) -> None:
    store = CacheStore.open(settings)
    entry = write(store, 1)
    real = store._blobs.store

    def store_late(found: Any) -> None:
        entry.progress.discard()  # what another thread does, which then waits for the catalogue
        real(found)

    store._blobs.store = store_late  # type: ignore[method-assign]
    store.commit()
    entry._backing.discard()
    assert store._catalog.find(version(1)) is None
    assert rows(store) == 0
    store.close()


def test_what_a_row_takes_is_not_understated(settings: CacheSettings, tmp_path: Path) -> None:
    for size in (1, 100, 3000, 4000, 4096, 5000, 20_000, blobs.MOST_BYTES):
        path = tmp_path / f"{size}.sqlite3"
        database = blobs.Blobs(path).open()
        database.store((number, bytes(size)) for number in range(1, 301))
        database.close()
        counted = 300 * blobs.allocated(size)
        assert path.stat().st_size <= counted * 1.005 + 8 * 4096
        assert counted <= path.stat().st_size * 1.3 + 8 * 4096
