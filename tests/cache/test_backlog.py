"""Writers wait for a slow catalogue, and not for one that is stuck."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore
from ossfs_resume.cache.backlog import Backlog
from ossfs_resume.cache.catalog import Catalog
from support.waiting import PATIENCE_S

Parts = Any  # of conftest.py


@contextmanager
def waiting(backlog: Backlog) -> Iterator[threading.Thread]:
    """A thread that waits; it must have ended when the block ends."""
    thread = threading.Thread(target=backlog.wait, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_up_to_the_limit_nobody_waits() -> None:
    backlog = Backlog(limit=10, patience_s=PATIENCE_S)
    backlog.add(10)
    backlog.wait()


def test_above_the_limit_a_commit_lets_everybody_go_on() -> None:
    backlog = Backlog(limit=10, patience_s=1e6)
    backlog.add(25)
    with waiting(backlog) as thread:
        backlog.committed(14)
        thread.join(0.05)
        assert thread.is_alive()
        backlog.committed(1)
    assert backlog.bytes == 10


def test_a_catalogue_that_fails_holds_nobody_up_until_it_is_well() -> None:
    backlog = Backlog(limit=10, patience_s=1e6)
    backlog.add(25)
    with waiting(backlog):
        backlog.give_up()
    backlog.wait()
    backlog.committed(1)
    with waiting(backlog) as thread:
        thread.join(0.05)
        assert thread.is_alive()
        backlog.committed(24)


def test_patience_ends_once_for_all() -> None:
    backlog = Backlog(limit=10, patience_s=0.01)
    backlog.add(11)
    backlog.wait()
    backlog.add(1000)
    backlog.wait()


def test_no_more_than_the_limit_is_written_while_a_commit_waits_for_the_disk(
    settings: CacheSettings, parts: Parts
) -> None:
    settings = replace(settings, commit_bytes=4 * parts.SIZE)
    store = CacheStore.open(settings)
    entry = store.acquire(parts.version(64))
    parts.write(entry, 0, 1)
    written = threading.Event()

    def write_all() -> None:
        for part in range(64):
            parts.write(entry, part, part + 1)
        written.set()

    with store._catalog.transaction():  # as a commit that waits for the disk
        writer = threading.Thread(target=write_all, daemon=True)
        writer.start()
        assert not written.wait(0.3)
        # One and a half times commit_bytes, the one write that is waiting, the one before.
        assert store.statistics().uncommitted_bytes <= (6 + 2) * parts.SIZE
    writer.join(PATIENCE_S)
    assert written.is_set()
    store.release(entry)
    store.close()


def test_in_company_twice_as_much_may_wait_for_the_disk(
    settings: CacheSettings, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit is so much slower there, and is made for so much more."""
    monkeypatch.setattr("ossfs_resume.cache.committer._PATIENCE_S", 1e6)
    monkeypatch.setattr(Catalog, "is_alone", False)
    store = CacheStore.open(replace(settings, commit_bytes=4 * parts.SIZE))
    entry = store.acquire(parts.version(64))
    parts.write(entry, 0, 1)
    with store._catalog.transaction():
        writer = threading.Thread(target=parts.write, args=(entry, 1, 12), daemon=True)
        writer.start()
        writer.join(PATIENCE_S)
        assert not writer.is_alive()
    store.release(entry)
    store.close()


@pytest.mark.parametrize("end", ["close", "abandon"])
def test_a_store_that_ends_lets_its_writers_go(
    settings: CacheSettings, parts: Parts, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ossfs_resume.cache.committer._PATIENCE_S", 1e6)
    settings = replace(settings, commit_bytes=parts.SIZE)
    store = CacheStore.open(settings)
    store._committer._commits.stop()  # nothing will ever be committed by itself
    entry = store.acquire(parts.version(8))
    writer = threading.Thread(target=parts.write, args=(entry, 0, 8), daemon=True)
    writer.start()
    writer.join(0.1)
    assert writer.is_alive()
    store._committer.stop()
    writer.join(PATIENCE_S)
    assert not writer.is_alive()
    getattr(store, end)()
