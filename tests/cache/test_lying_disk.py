"""A disk that does not give back what it was given: nothing is served that was not compared."""

import errno
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore, Entry, ObjectVersion
from ossfs_resume.cache.data_file import DataFile
from ossfs_resume.cache.failure import FailingDisk, translated
from ossfs_resume.errors import CacheError
from support.disks import ext4_disk

Parts = Any  # of conftest.py

MIB = 1 << 20
COUNT = 64


@pytest.fixture
def shrinking(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A disk and its medium, which can be made smaller under it."""
    disk = tmp_path / "disk"
    with ext4_disk(disk, 64 * MIB) as medium:
        yield disk, medium


def serve(entry: Entry, parts: Parts) -> int:
    """Read everything, as a reader does; how many parts were served."""
    served = 0
    for part in range(entry.part_count):
        for read in (entry.read_nowait, entry.read):
            try:
                data = read(part * parts.SIZE, parts.SIZE)
            except CacheError:
                continue
            if data is not None:
                assert data == parts.content(entry.geometry, part), f"part {part} is wrong"
                served += 1
                break
    return served


def test_a_disk_whose_medium_shrank_gives_no_wrong_byte(
    shrinking: tuple[Path, Path], parts: Parts
) -> None:
    disk, medium = shrinking
    settings = parts.quiet(disk / "cache")
    store = CacheStore.open(settings)
    entry = store.acquire(parts.version(COUNT))
    parts.write(entry, 0, COUNT)
    store.commit()
    store.sync()
    assert serve(entry, parts) == COUNT
    os.truncate(medium, MIB)
    # Of this file alone, not of everybody's: what comes now comes from the disk.
    entry._backing.file.forget_pages()
    subprocess.run(["blockdev", "--flushbufs", _device(disk)], check=True)
    for _ in range(2):
        assert serve(entry, parts) < COUNT
    store.abandon()


def _device(disk: Path) -> str:
    return subprocess.run(
        ["findmnt", "-n", "-o", "SOURCE", disk], capture_output=True, text=True, check=True
    ).stdout.strip()


class FromDisk(DataFile):
    """``in_memory`` says whether anything is in the page cache."""

    in_memory = True
    error = 0

    def read_nowait(self, offset: int, length: int) -> Any:
        return DataFile.read(self, offset, length) if self.in_memory else None

    def read(self, offset: int, length: int) -> bytes:
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        return super().read(offset, length)

    @staticmethod
    def sync_all(descriptor: int) -> None:
        if FromDisk.error:
            raise OSError(FromDisk.error, os.strerror(FromDisk.error))


@pytest.fixture
def watched(
    settings: CacheSettings, parts: Parts
) -> Iterator[tuple[CacheStore, list[ObjectVersion]]]:
    FromDisk.in_memory, FromDisk.error = True, 0
    store = CacheStore.open(settings, data_file=FromDisk)
    told: list[ObjectVersion] = []
    store.keeper.listen(distrusted=told.extend)
    yield store, told
    FromDisk.in_memory, FromDisk.error = True, 0
    store.close()


Watched = tuple[CacheStore, list[ObjectVersion]]


def filled(store: CacheStore, parts: Parts, key: str) -> Entry:
    entry = store.acquire(parts.version(3, key=key))
    parts.write(entry, 0, 3)
    return entry


def test_what_comes_from_the_disk_is_compared_and_its_neighbours_are_doubted(
    watched: Watched, settings: CacheSettings, parts: Parts
) -> None:
    store, _ = watched
    entry, other = filled(store, parts, "a"), filled(store, parts, "b")
    FromDisk.in_memory = False
    assert entry.read_nowait(0, 10) is None
    assert not entry.unchecked(0, 3), "nothing was read"
    assert entry.read(parts.SIZE, 10) == parts.content(entry.geometry, 1)[:10]
    assert [entry.unchecked(part, part + 1) for part in range(3)] == [True, False, True]
    assert not other.unchecked(0, 3)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENXIO, errno.ENODEV, errno.EUCLEAN])
def test_an_error_of_the_disk_ends_all_trust_and_tells_who_has_copies(
    watched: Watched, parts: Parts, number: int
) -> None:
    store, told = watched
    entry, read, unread = (filled(store, parts, key) for key in ("a", "b", "c"))
    closed = filled(store, parts, "d")
    for one in (read, closed):
        assert one.read_nowait(0, 10)
    store.release(closed)
    store.sync()
    store.commit()
    FromDisk.in_memory, FromDisk.error = False, number
    with pytest.raises(FailingDisk):
        entry.read(0, 10)
    FromDisk.in_memory, FromDisk.error = True, 0
    assert sorted(version.key for version in told) == ["b", "d"]
    assert all(one.unchecked(0, 3) for one in (entry, read, unread))
    assert store.acquire(closed.version).unchecked(0, 3)
    assert read.read(0, 10)
    told.clear()
    store._trust.end("again")
    assert [version.key for version in told] == ["b"]


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENOMEM, errno.EBUSY]
)
def test_a_full_or_read_only_disk_ends_no_trust(
    watched: Watched, parts: Parts, number: int
) -> None:
    store, told = watched
    entry, other = filled(store, parts, "a"), filled(store, parts, "b")
    FromDisk.in_memory, FromDisk.error = False, number
    with pytest.raises(CacheError):
        entry.read(0, 10)
    FromDisk.in_memory, FromDisk.error = True, 0
    assert not other.unchecked(0, 3)
    assert told == []


def test_a_damaged_part_ends_all_trust(
    watched: Watched, settings: CacheSettings, parts: Parts
) -> None:
    store, _ = watched
    entry, other = filled(store, parts, "a"), filled(store, parts, "b")
    assert entry.stock is not None
    (path,) = settings.directory.glob(f"bucket/data/*/{entry.stock.row_id}-*")
    parts.damage(path, 5)
    with pytest.raises(CacheError, match="not what was stored"):
        entry.read(0, 10)
    assert entry.missing(0, 3) == [range(1)]
    assert other.unchecked(0, 3)


def test_what_was_written_when_trust_ended_is_compared(watched: Watched, parts: Parts) -> None:
    store, _ = watched
    entry = filled(store, parts, "a")
    epoch = entry.progress.begin_writing(range(3))
    store._trust.end("in between")
    entry.progress.wrote(0, [entry.progress.crc(part) for part in range(3)], epoch)
    entry.progress.end_writing(range(3))
    assert entry.unchecked(0, 3)


def failing_with(code: int) -> bool:
    error = sqlite3.OperationalError("")
    error.sqlite_errorcode = code
    with pytest.raises(CacheError) as caught, translated("ask"):
        raise error
    return isinstance(caught.value, FailingDisk)


def test_which_errors_of_sqlite_end_trust() -> None:
    for code in (sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        assert failing_with(code)
    for code in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR_NOMEM,
    ):
        assert not failing_with(code)


def test_an_error_of_the_catalogue_ends_trust(watched: Watched, parts: Parts) -> None:
    store, _ = watched
    entry = filled(store, parts, "a")
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
    with pytest.raises(CacheError), store._catalog.transaction():
        raise error
    assert entry.unchecked(0, 3)


def test_small_objects_are_synced_together_and_discarded_together(
    watched: Watched, parts: Parts
) -> None:
    store, _ = watched
    calls: list[int] = []
    store._disk._sync = calls.append
    small = [parts.version(1, key=f"{number}") for number in range(5)]

    def write() -> None:
        for version in small:
            entry = store.acquire(version)
            parts.write(entry, 0, 1)
            store.release(entry)

    write()
    store.sync()
    assert len(calls) == 1
    assert store.statistics().open_entries == 0, "no descriptor waits for the disk"
    store.sync()
    assert len(calls) == 1
    assert store.cached_bytes(small) == [parts.SIZE] * 5
    held = store.acquire(small[0])
    for part in held.check(0, 1):
        raise AssertionError(part)
    store._disk._sync = FromDisk.sync_all
    other = store.acquire(parts.version(1, key="other"))
    parts.write(other, 0, 1)
    store.commit()
    store.release(other)
    store.commit()
    FromDisk.error = errno.EIO
    store.sync()
    FromDisk.error = 0
    assert store.cached_bytes([*small, other.version]) == [parts.SIZE] * 5 + [0]
    assert len(store._blobs.ids(range(1, 100))) == 5
    store.release(held)
