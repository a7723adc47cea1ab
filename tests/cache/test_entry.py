"""One version of an object as its users see it."""

from typing import Any

import pytest

from ossfs_resume.cache import CacheStore
from ossfs_resume.errors import CacheError

Parts = Any  # of conftest.py


def test_a_wrong_checksum_is_disproof_and_an_unknown_one_is_neither(
    store: CacheStore, parts: Parts
) -> None:
    entry = store.acquire(parts.version(2))
    parts.write(entry, 0, 2)
    assert entry.prove() is None
    entry.expect_crc64(1)
    assert entry.prove() is False
    assert not entry.progress.is_verified


def test_reading_outside_the_object_is_refused(store: CacheStore, parts: Parts) -> None:
    entry = store.acquire(parts.version(2))
    parts.write(entry, 0, 2)
    for offset, length in ((-1, 1), (0, -1), (2 * parts.SIZE, 1)):
        with pytest.raises(CacheError, match="not inside"):
            entry.read(offset, length)
