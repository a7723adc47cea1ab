"""What the options say of the cache's limits."""

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from ossfs_resume.bucket_cache import cache_limits, unusable
from ossfs_resume.cache.eviction import DEFAULT_FREE, DEFAULT_FREE_FILES, Limits, Reserve
from ossfs_resume.cache.failure import translated
from ossfs_resume.errors import CacheError


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


def failed(error: Exception) -> CacheError:
    """What the cache makes of it."""
    with pytest.raises(CacheError) as caught, translated("open the cache in /c"):
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/c/x"), "may not be written by root"),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "/c/x"),
            "cannot open the cache in /c: /c/x: no such file or directory",
        ),
    ],
)
def test_a_directory_that_cannot_be_used_is_told_with_the_remedy(
    error: Exception, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    line = unusable(Path("/a b"), failed(error))
    assert text in line
    assert line.endswith("; choose another with --cache-dir")
    assert "Errno" not in line


def test_a_user_without_a_name_is_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    line = unusable(Path("/a b"), failed(PermissionError(errno.EACCES, "Permission denied")))
    assert line == (
        "'/a b' may not be written by the user 4000000; choose another with --cache-dir"
    )


def test_a_damaged_catalogue_is_not_cured_by_another_directory() -> None:
    line = unusable(Path("/c"), failed(sqlite3.DatabaseError("file is not a database")))
    assert line == "cannot open the cache in /c: file is not a database"
