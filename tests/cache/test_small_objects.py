"""Small objects: bytes in rows, in one commit with their marks. Small objects among several
processes, after a kill, and where space is short.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore, small_objects
from ossfs_resume.cache.eviction import Limits
from ossfs_resume.errors import CacheError
from support.machine import NO_TMPFS
from support.small_objects import SIZE, content, fill, rows, version, write
from support.waiting import eventually

Parts = Any  # of conftest.py

MOST = small_objects.MOST_BYTES


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


@pytest.mark.parametrize(("size", "files"), [(MOST, 0), (MOST + 4, 1)])
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
    monkeypatch.setattr(small_objects, "PENDING_BYTES", 3 * SIZE)
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
    for size in (1, 100, 3000, 4000, 4096, 5000, 20_000, small_objects.MOST_BYTES):
        path = tmp_path / f"{size}.sqlite3"
        database = small_objects.Blobs(path).open()
        database.store((number, bytes(size)) for number in range(1, 301))
        database.close()
        counted = 300 * small_objects.allocated(size)
        assert path.stat().st_size <= counted * 1.005 + 8 * 4096
        assert counted <= path.stat().st_size * 1.3 + 8 * 4096


SCRIPT = """
import os, sys
from pathlib import Path
from ossfs_resume.cache import CacheSettings, CacheStore, ObjectVersion
store = CacheStore.open(CacheSettings(Path(sys.argv[1]), "bucket", part_size=65536))
def version(number):
    return ObjectVersion(f"small-{number}", "etag", 5000)
def write(number):
    entry = store.acquire(version(number))
    if entry.missing(0, 1):
        entry.write_parts(0, [(number.to_bytes(4, "big") * 1250,)])
    store.release(entry)
"""


def elsewhere(settings: CacheSettings, script: str) -> subprocess.Popen[str]:
    """Another process that uses the store; it says what it has done, and goes on when it is told
    to."""
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT + script, str(settings.directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_share_what_each_has_stored(settings: CacheSettings) -> None:
    store = CacheStore.open(settings)
    store.release(write(store, 1))
    store.commit()
    held = store.acquire(version(7))
    with elsewhere(
        settings,
        """
entry = store.acquire(version(1))
assert entry.read(0, 5000) == (1).to_bytes(4, "big") * 1250
store.release(entry)
write(7)
store.commit()
print("stored", flush=True)
sys.stdin.readline()
store.keeper.evict(version(1))
store.close()
print("closed", flush=True)
sys.stdin.read()
""",
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "stored\n"
        held.refresh(range(1))
        assert held.read(0, SIZE) == content(7)
        used = store.acquire(version(1))
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "closed\n"
        assert used.read_nowait(0, SIZE) == content(1), "evicted by the other, held by us"
        assert store.cached_bytes([version(7)]) == [SIZE]
        store.release(used)
        store.commit()
        store.commit()
        fresh = store.acquire(version(1))
        assert fresh.missing(0, 1)
        store.release(fresh)
    store.release(held)
    store.close()


def test_kill_9_costs_what_was_not_committed_and_no_byte_is_wrong(settings: CacheSettings) -> None:
    with elsewhere(
        settings,
        """
for number in range(100000):
    write(number)
    if number % 500 == 0:
        store.commit()
        print(number, flush=True)
""",
    ) as other:
        assert other.stdout is not None
        written = 0
        while written < 3000:
            written = int(other.stdout.readline())
        other.kill()
    store = CacheStore.open(settings)
    store._leftovers.wait()
    versions = [version(number) for number in range(written + 1)]
    there = [number for number, size in enumerate(store.cached_bytes(versions)) if size]
    assert there == list(range(written + 1))
    for number in there:
        entry = store.acquire(version(number))
        assert entry.read(0, SIZE) == content(number)
        store.release(entry)
    store.close()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", place], check=False)
    if made.returncode:
        pytest.skip(NO_TMPFS)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_costs_progress_and_no_reader(full_disk: Path, parts: Parts) -> None:
    store = CacheStore.open(parts.quiet(full_disk))
    fill(store, 200)
    (full_disk / "other").write_bytes(bytes(os.statvfs(full_disk).f_bavail * 4096))
    entry = write(store, 1000)
    entries = [write(store, number, 60_000) for number in range(1001, 1030)]
    with pytest.raises(CacheError):
        store.commit()
    assert entry.read_nowait(0, SIZE) == content(1000)
    assert store.keeper.evict_below("") > 0, "there is always room to remove"
    (full_disk / "other").unlink()
    store.commit()
    assert store.cached_bytes([version(1000)]) == [SIZE]
    for held in (entry, *entries):
        store.release(held)
    store.close()


def test_a_cache_with_a_size_keeps_to_it(settings: CacheSettings) -> None:
    store = CacheStore.open(replace(settings, limits=Limits(size=2 << 20)))
    for number in range(600):
        store.release(write(store, number))
        if number % 16 == 0:
            store.commit()
        assert store._catalog.allocated() <= 2 << 20
    assert store.statistics().evicted > 100
    store.commit()
    entry = store.acquire(version(599))
    assert not entry.missing(0, 1)
    store.release(entry)
    store.close()


def test_a_pinned_one_stays(settings: CacheSettings) -> None:
    store = CacheStore.open(settings)
    fill(store, 10)
    store.keeper.pin([(version(3).key, SIZE)])
    assert store.keeper.evict_below("") == 9
    assert store.cached_bytes([version(3), version(4)]) == [SIZE, 0]
    store.close()
