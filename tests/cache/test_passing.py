"""Entries that keep nothing."""

import pytest

from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.passing import Passing
from ossfs_resume.errors import CacheError


def test_nothing_can_be_written_to_it_nor_read() -> None:
    entry = Passing(65536).entry(ObjectVersion("key", "etag", 100_000))
    assert entry.part_count == 2
    assert entry.missing(0, 2) == [range(2)]
    assert not entry.progress.is_open
    with pytest.raises(CacheError):
        entry.write_parts(0, [[bytes(65536)]])
    with pytest.raises(CacheError):
        entry.read(0, 10)
    assert entry.missing(0, 2) == [range(2)]
    entry.close()
