"""A data file that somebody else touched is checked before a byte of it is served."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore
from ossfs_resume.errors import CacheError

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
