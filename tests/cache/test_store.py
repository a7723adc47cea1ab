"""The store as its callers see it."""

import errno
import logging
import os
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore
from ossfs_resume.cache.data_file import DataFile
from ossfs_resume.errors import CacheError
from support.disks import tmpfs
from support.waiting import PATIENCE_S, eventually

Parts = Any  # of conftest.py


def test_holders_share_one_entry_and_the_file_is_closed_after_the_last(
    store: CacheStore, parts: Parts
) -> None:
    first, second = (store.acquire(parts.version(2)) for _ in range(2))
    assert first is second
    store.release(first)
    store.sync()
    store.commit()
    assert store.statistics().open_entries == 1
    store.release(second)
    store.commit()
    assert store.statistics().open_entries == 0
    assert store.acquire(parts.version(2)) is not first


def test_a_released_entry_stays_open_until_it_is_synced(store: CacheStore, parts: Parts) -> None:
    entry = store.acquire(parts.version(2))
    parts.write(entry, 0, 1)
    store.release(entry)
    store.commit()
    assert store.statistics().open_entries == 1
    assert store.acquire(parts.version(2)) is entry
    store.release(entry)
    store.sync()
    assert store.statistics().open_entries == 0


def test_an_object_of_one_part_is_closed_without_a_sync(store: CacheStore, parts: Parts) -> None:
    entry = store.acquire(parts.version(1))
    parts.write(entry, 0, 1)
    store.release(entry)
    store.commit()
    assert store.statistics().open_entries == 0
    assert store.statistics().unsynced_bytes == 0


def test_progress_is_committed_and_synced_in_the_background(
    settings: CacheSettings, parts: Parts
) -> None:
    eager = replace(settings, commit_interval_s=0.001, sync_interval_s=0.002)
    store = CacheStore.open(eager)
    entry = store.acquire(parts.version(2))
    parts.write(entry, 0, 2)
    eventually(lambda: not store.statistics().unsynced_bytes)
    store.abandon()
    again = CacheStore.open(settings)
    assert again.cached_bytes([parts.version(2)]) == [2 * parts.SIZE]
    again.close()


def test_looking_at_an_entry_leaves_nothing_behind(store: CacheStore, parts: Parts) -> None:
    entry = store.acquire(parts.version(2))
    assert entry.missing(0, 2) == [range(2)]
    assert entry.check(0, 2) == []
    store.release(entry)
    store.commit()
    assert store.state(parts.version(2)) is None


def test_state_is_the_same_from_memory_and_from_the_catalogue(
    store: CacheStore, parts: Parts
) -> None:
    version = parts.version(3, less=1)
    entry = store.acquire(version)
    parts.write(entry, 0, 3)
    entry.expect_crc64(parts.crc64(entry.geometry))
    assert entry.prove() is True
    in_memory = store.state(version)
    store.release(entry)
    store.sync()
    assert store.statistics().open_entries == 0
    assert store.state(version) == in_memory
    assert in_memory is not None
    assert (in_memory.is_complete, in_memory.is_verified) == (True, True)


def test_a_discarded_file_is_gone_and_its_name_is_not_used_again(
    store: CacheStore, settings: CacheSettings, parts: Parts
) -> None:
    entry = store.acquire(parts.version(2))
    parts.write(entry, 0, 1)
    store.commit()
    old = parts.data_file(settings.directory)
    store.discard(entry)
    assert not old.exists()
    new = store.acquire(parts.version(2))
    parts.write(new, 1, 2)
    assert parts.data_file(settings.directory).name != old.name
    assert new.missing(0, 2) == [range(1)]
    store.discard(entry)
    assert new.read(parts.SIZE, 1) == parts.content(new.geometry, 1)[:1]


class FailingSync(DataFile):
    def sync(self) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_failed_sync_discards_the_entry(
    settings: CacheSettings, parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    store = CacheStore.open(settings, data_file=FailingSync)
    entry = store.acquire(parts.version(3))
    parts.write(entry, 0, 3)
    store.commit()
    with caplog.at_level(logging.WARNING):
        store.sync()
    assert "input/output error" in caplog.text.lower()
    assert entry.progress.present_count == 0
    with pytest.raises(CacheError, match="discarded"):
        parts.write(entry, 0, 1)
    assert store.cached_bytes([parts.version(3)]) == [0]
    assert not list(store.keeper.records())
    assert not list(settings.directory.glob("bucket/data/*/*"))
    store.release(entry)
    store.close()


def test_readers_and_writers_go_on_while_a_sync_waits_for_the_disk(
    settings: CacheSettings, parts: Parts
) -> None:
    waiting, go_on = threading.Event(), threading.Event()

    class SlowSync(DataFile):
        def sync(self) -> None:
            waiting.set()
            assert go_on.wait(PATIENCE_S)
            super().sync()

    store = CacheStore.open(settings, data_file=SlowSync)
    entry = store.acquire(parts.version(3))
    parts.write(entry, 0, 1)
    sync = threading.Thread(target=store.sync)
    sync.start()
    assert waiting.wait(PATIENCE_S)
    parts.write(entry, 1, 2)
    store.commit()
    assert entry.read(0, 2 * parts.SIZE) == parts.whole(entry.geometry)[: 2 * parts.SIZE]
    store.release(entry)
    store.commit()
    assert store.statistics().open_entries == 1
    go_on.set()
    sync.join()
    assert store.statistics().unsynced_bytes == parts.SIZE
    store.close()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    with tmpfs(tmp_path / "tiny", 4 << 20) as disk:
        yield disk


def test_a_full_disk_costs_only_what_was_not_stored(tiny_disk: Path, parts: Parts) -> None:
    settings = parts.quiet(tiny_disk / "cache")
    ballast = tiny_disk / "ballast"
    ballast.write_bytes(bytes(1 << 20))
    store = CacheStore.open(settings)
    entry = store.acquire(parts.version(200))
    with pytest.raises(CacheError, match="no space left"):  # noqa: PT012
        for part in range(200):
            parts.write(entry, part, part + 1)
    stored = entry.progress.present_count
    assert 0 < stored < 64
    with pytest.raises(CacheError) as raised:
        store.commit()
    assert raised.value.__cause__ is not None
    ballast.unlink()
    parts.write(entry, stored, stored + 1)
    store.close()
    store = CacheStore.open(settings)
    entry = store.acquire(parts.version(200))
    assert entry.missing(0, 200) == [range(stored + 1, 200)]
    assert entry.check(0, 200) == []
    whole = parts.whole(entry.geometry)
    assert entry.read(0, (stored + 1) * parts.SIZE) == whole[: (stored + 1) * parts.SIZE]
    store.close()


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_nobody_else_can_read_the_cache_whatever_the_umask(
    tmp_path: Path, parts: Parts, umask: int
) -> None:
    before = os.umask(umask)
    try:
        store = CacheStore.open(parts.quiet(tmp_path / "new" / "cache"))
        parts.write(store.acquire(parts.version(2)), 0, 2)
        store.sync()
        paths = list((tmp_path / "new").rglob("*"))
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in paths}
        store.close()
    finally:
        os.umask(before)
    assert {modes[path] for path in paths if path.is_dir()} == {0o700}
    assert {modes[path] for path in paths if path.is_file()} == {0o600}
    assert {path.name for path in paths} >= {"catalog.sqlite3-wal", "lock"}


def test_a_directory_that_cannot_be_made_is_a_cache_error(tmp_path: Path, parts: Parts) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match="cannot open the cache in") as raised:
        CacheStore.open(parts.quiet(tmp_path / "file" / "cache"))
    assert isinstance(raised.value.__cause__, OSError)


def test_a_closed_store_gives_no_entries_and_takes_late_releases(
    settings: CacheSettings, parts: Parts
) -> None:
    store = CacheStore.open(settings)
    entry = store.acquire(parts.version(2))
    parts.write(entry, 0, 1)
    store.close()
    store.close()
    store.release(entry)
    with pytest.raises(CacheError, match="closed"):
        store.acquire(parts.version(2))
    with pytest.raises(CacheError, match="closed"):
        parts.write(entry, 1, 2)


def test_the_space_of_the_disk_is_told(store: CacheStore) -> None:
    assert store.statvfs().f_blocks > 0


def open_files(directory: Path) -> list[str]:
    """The files that this process has open below a directory."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
        except FileNotFoundError:
            continue
        if path.startswith(str(directory)) and os.path.isfile(path):
            found.append(path)
    return found


@pytest.mark.parametrize("allowed", range(4))
def test_a_store_that_gets_no_threads_leaves_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    before = threading.active_count()
    start, left = threading.Thread.start, iter(range(allowed))

    def refuse(thread: threading.Thread) -> None:
        if next(left, None) is None:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="new thread"):
        CacheStore.open(CacheSettings(tmp_path, "bucket"))
    assert open_files(tmp_path) == []
    assert threading.active_count() == before


def test_what_is_cached_below_a_prefix_is_told_with_one_question(
    store: CacheStore, parts: Parts
) -> None:
    for key in ("d/stored", "d/e/stored", "e/stored"):
        entry = store.acquire(parts.version(2, key=key))
        parts.write(entry, 0, 2)
        parts.close(store, entry)
    in_use = store.acquire(parts.version(2, key="d/in use"))
    parts.write(in_use, 0, 1)
    changes = store.changes
    assert store.opened() == {in_use.version: parts.SIZE}
    assert [store.open_bytes(parts.version(2, key=key)) for key in ("d/in use", "d/stored")] == [
        parts.SIZE,
        None,
    ]
    expected = {parts.version(2, key=key): 2 * parts.SIZE for key in ("d/stored", "d/e/stored")}
    assert store.cached_below("d/", 3) == {**expected, in_use.version: parts.SIZE}
    assert store.cached_below("d/", 2) is None
    assert len(store.cached_below("", 4) or ()) == 4
    assert store.changes == changes, "questions change nothing"
    store.commit()
    assert store.changes > changes
    store.release(in_use)
