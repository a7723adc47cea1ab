"""What the options say of the cache's limits. The first question, where a command line cannot
arrange it.
"""

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import trio
from trio.testing import MockClock

from ossfs_resume import startup
from ossfs_resume.cache.eviction import DEFAULT_FREE, DEFAULT_FREE_FILES, Limits, Reserve
from ossfs_resume.cache.failure import translated
from ossfs_resume.config import parse_source
from ossfs_resume.errors import CacheError, MountError, OriginTimeout
from ossfs_resume.fetch.thread_calls import Hanging
from ossfs_resume.oss.credentials.rotating import RotatingCredentials
from ossfs_resume.oss.credentials.sts import Issued
from ossfs_resume.startup import (
    await_key,
    cache_limits,
    directory_times,
    noted_as_known,
    room_in,
    unusable,
)


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


NO_OPTIONS: Any = None
"""They say nothing of a disk that hangs."""


class HangingDisk:
    """A store, its notes and its keeper, of which nothing comes back before ``gate`` is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.is_new = True

    @property
    def notes(self) -> Self:
        return self

    @property
    def keeper(self) -> Self:
        return self

    def wait(self) -> None:
        self.gate.wait()

    capacity = recall_directories = mark_known = wait


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(startup, "OPEN_PATIENCE_SECONDS", 0.01)
    disk = HangingDisk()
    yield disk
    disk.gate.set()


async def test_a_disk_that_hangs_after_it_was_opened_holds_up_no_mount(
    hanging: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert await directory_times(hanging) == {}
    assert await room_in(hanging, NO_OPTIONS) == 0
    assert "cannot say how much the cache may hold: the cache did not answer" in caplog.text
    with pytest.raises(Hanging):
        async with noted_as_known(hanging):
            pass


@pytest.mark.parametrize(("seconds", "is_final"), [(1, False), (15, True)])
async def test_a_source_of_keys_that_does_not_answer(
    autojump_clock: MockClock, seconds: int, is_final: bool
) -> None:
    """One that has little patience, as the metadata server has, is asked again by the question."""

    async def fetch() -> Issued:
        await trio.sleep(seconds)
        raise OriginTimeout("no key")

    outcome = None
    try:
        await await_key(RotatingCredentials(fetch, "there"), parse_source("oss://sample"))
    except MountError as error:
        outcome = str(error)
    assert outcome == ("oss://sample: no key" if is_final else None)
