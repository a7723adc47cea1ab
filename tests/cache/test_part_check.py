"""What is bad on the disk becomes absent, and nothing else."""

import os
from typing import Any

from ossfs_resume.cache import CacheSettings, CacheStore

Parts = Any  # of conftest.py


def test_a_verified_object_that_loses_a_part_is_verified_no_longer(
    settings: CacheSettings, parts: Parts
) -> None:
    store = CacheStore.open(settings)
    entry = store.acquire(parts.version(2))
    parts.write(entry, 0, 2)
    entry.expect_crc64(parts.crc64(entry.geometry))
    entry.prove()
    store.close()
    parts.damage(parts.data_file(settings.directory), 10)
    store = CacheStore.open(settings)
    entry = store.acquire(parts.version(2))
    assert entry.progress.is_verified
    assert entry.check(0, 2) == [0]
    assert not entry.progress.is_verified
    store.abandon()
    store = CacheStore.open(settings)
    summary = store.state(parts.version(2))
    assert summary is not None
    assert (summary.is_verified, summary.parts_present) == (False, 1)
    store.close()


def test_parts_that_a_file_ends_before_are_found_missing(
    settings: CacheSettings, parts: Parts
) -> None:
    store = CacheStore.open(settings)
    entry = store.acquire(parts.version(3))
    parts.write(entry, 0, 3)
    store.close()
    os.truncate(parts.data_file(settings.directory), parts.SIZE + 1)
    store = CacheStore.open(settings)
    entry = store.acquire(parts.version(3))
    assert entry.check(0, 3) == [1, 2]
    assert entry.missing(0, 3) == [range(1, 3)]
    store.close()


def test_a_whole_file_that_is_gone_costs_its_parts_and_can_be_written_again(
    settings: CacheSettings, parts: Parts
) -> None:
    store = CacheStore.open(settings)
    parts.write(store.acquire(parts.version(2)), 0, 2)
    store.close()
    parts.data_file(settings.directory).unlink()
    store = CacheStore.open(settings)
    entry = store.acquire(parts.version(2))
    assert entry.check(0, 2) == [0, 1]
    parts.write(entry, 0, 2)
    assert entry.read(0, 2 * parts.SIZE) == parts.whole(entry.geometry)
    store.close()


def test_rereading_clears_what_the_disk_lost(
    store: CacheStore, parts: Parts, settings: CacheSettings
) -> None:
    entry = store.acquire(parts.version(4))
    parts.write(entry, 0, 4)
    assert entry.recheck() == []
    parts.damage(parts.data_file(settings.directory), 2 * parts.SIZE + 7)
    assert entry.recheck() == [2]
    assert entry.missing(0, 4) == [range(2, 3)]
    store.release(entry)
