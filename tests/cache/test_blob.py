"""Small objects among several processes, after a kill, and where space is short."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore
from ossfs_resume.cache.eviction import Limits
from ossfs_resume.errors import CacheError
from support.machine import NO_TMPFS
from support.small_objects import SIZE, content, fill, version, write

Parts = Any  # of conftest.py


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
    versions = [version(number) for number in range(written)]
    there = [number for number, size in enumerate(store.cached_bytes(versions)) if size]
    assert len(there) >= written - 64 * 32, "all but the last fraction of a second"
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
