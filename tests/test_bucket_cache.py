"""What the options say of the cache's limits."""

import pytest

from ossfs_resume.bucket_cache import cache_limits
from ossfs_resume.cache.eviction import DEFAULT_FREE, DEFAULT_FREE_FILES, Limits, Reserve


@pytest.mark.parametrize(
    ("free", "bytes_free", "files_free"),
    [
        (None, DEFAULT_FREE, DEFAULT_FREE_FILES),
        (1 << 30, 1 << 30, DEFAULT_FREE_FILES),
        (0, 0, Reserve(0)),
        (0.25, Reserve(0.25), Reserve(0.25)),
        (0.0, Reserve(0.0), Reserve(0.0)),
    ],
)
def test_what_is_left_free(
    free: float | None, bytes_free: Reserve | int, files_free: Reserve
) -> None:
    assert cache_limits(5, free) == Limits(5, bytes_free, files_free)
