"""The files that a data file consists of. A data file that somebody else touched is checked before
a byte of it is served.
"""

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore
from ossfs_resume.cache.data_file import DataFile, DataFolder
from ossfs_resume.cache.directory import Directory
from ossfs_resume.errors import CacheError


class ShortSegments(DataFile):
    segment_bytes = 16


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(lambda: Directory.at(tmp_path))


def test_a_segment_appears_with_its_first_byte_only(folder: DataFolder) -> None:
    file = ShortSegments(folder, 0x1FE, "abc", 64)
    file.write(35, [b"x"])
    assert [path.name for path in folder.current().path.glob("fe/*")] == ["510-abc.2"]
    file.close()


def test_an_unlinked_file_is_readable_through_its_descriptor_and_never_created_again(
    folder: DataFolder,
) -> None:
    file = ShortSegments(folder, 1, "abc", 32)
    file.write(0, [b"1234"])
    file.unlink()
    assert file.read(0, 4) == b"1234"
    with pytest.raises(FileNotFoundError):
        file.write(16, [b"5678"])
    assert not list(folder.current().path.glob("*/*"))
    file.close()


def test_a_closed_file_stays_closed(folder: DataFolder) -> None:
    file = DataFile(folder, 1, "abc", 32)
    file.write(0, [b"1234"])
    file.close()
    with pytest.raises(OSError, match="closed"):
        file.read(0, 4)


def test_syncing_a_file_that_is_gone_is_an_error(folder: DataFolder) -> None:
    with pytest.raises(OSError, match="gone") as raised:
        DataFile(folder, 1, "abc", 32).sync()
    assert raised.value.errno == errno.ENOENT


def test_sync_opens_what_an_earlier_process_wrote(folder: DataFolder) -> None:
    first = ShortSegments(folder, 1, "abc", 48)
    first.write(20, [b"1234"])
    first.close()
    second = ShortSegments(folder, 1, "abc", 48)
    second.sync()
    second.close()


def test_of_two_who_use_a_file_neither_is_ever_alone_with_it(folder: DataFolder) -> None:
    users = [DataFile(folder, 1, "abc", 32) for _ in range(2)]
    users[0].write(0, [b"1234"])
    for user in users:
        user.hold()

    def try_often(user: DataFile) -> bool:
        was_alone = False
        for _ in range(5000):
            was_alone |= user.lock_alone()
            user.share()
        return was_alone

    with ThreadPoolExecutor() as pool:
        assert list(pool.map(try_often, users)) == [False, False]
    users[1].close()
    assert users[0].lock_alone()
    users[0].close()


Parts = Any  # of conftest.py


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
    parts.close(store, entry)
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
    assert entry.check(0, 5) == []
    assert bool(entry.missing(0, 1)) == (touch not in (replace, Path.unlink))
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
    assert not entry.progress.is_open
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
