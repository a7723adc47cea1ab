"""Many changes in one commit, and time for those who ask, where several processes share it."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.turns import Turns, _Group, insist
from ossfs_resume.errors import CacheError
from support.waiting import PATIENCE_S, eventually

SHORT_S = 0.01
"""Patience with what does not come."""


class Gated(Turns):
    """A transaction waits for others to join until it is let go."""

    gate = False

    def _let_others_join(self, group: _Group) -> None:
        self._group = group
        self._changed.wait_for(lambda: self.gate)
        super()._let_others_join(group)

    def let_go(self) -> None:
        with self.lock:
            self.gate = True
            self._changed.notify_all()


class Shared(Catalog):
    """A catalogue that others may use, and what is executed on its writer."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, has_company=lambda: True)
        self.turns = self._turns = Gated()

    def trace(self) -> list[str]:
        executed: list[str] = []
        self._require_writer().set_trace_callback(executed.append)
        return executed


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Shared]:
    Catalog(tmp_path / "catalog.sqlite3").open().close()
    shared = Shared(tmp_path / "catalog.sqlite3")
    shared.open()
    yield shared
    shared.close()


@contextmanager
def adding(catalog: Shared, *names: str, durable: bool = False) -> Iterator[list[Exception]]:
    """Threads that add a fact each: all are waiting for one commit in the block, and have ended
    after it. What they raised."""
    errors: list[Exception] = []

    def add(name: str) -> None:
        try:
            with catalog.transaction(durable=durable) as transaction:
                transaction.add_fact(name)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=add, args=[name], daemon=True) for name in names]
    writer = catalog._require_writer()
    for thread in threads:
        before = writer.total_changes
        thread.start()
        eventually(lambda before=before: writer.total_changes > before)  # type: ignore[misc]
    yield errors
    catalog.turns.let_go()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_those_who_come_before_a_commit_are_in_it(catalog: Shared) -> None:
    executed = catalog.trace()
    with adding(catalog, "one", "two", "three"):
        assert not catalog.has_fact("one")
    assert all(map(catalog.has_fact, ("one", "two", "three")))
    assert executed.count("COMMIT") == 1


def test_who_raises_undoes_what_is_his_and_nothing_else(catalog: Shared) -> None:
    def raising() -> None:
        with catalog.transaction() as transaction:
            transaction.add_fact("two")
            raise KeyError

    with adding(catalog, "one"), pytest.raises(KeyError):
        raising()
    assert (catalog.has_fact("one"), catalog.has_fact("two")) == (True, False)


def test_a_commit_that_fails_has_failed_for_all(catalog: Shared) -> None:
    with adding(catalog, "one", "two") as errors:
        writer = catalog._require_writer()
        writer.execute("ROLLBACK")  # as SQLite does when the disk is full
    assert [type(error) for error in errors] == [CacheError, CacheError]
    assert not catalog.has_fact("one")
    with catalog.transaction() as transaction:
        transaction.add_fact("three")
    assert catalog.has_fact("three")


def test_what_must_be_durable_is_in_no_commit_that_is_not(catalog: Shared) -> None:
    executed = catalog.trace()
    with adding(catalog, "one"):
        thread = threading.Thread(target=lambda: pin(catalog), daemon=True)
        thread.start()
        eventually(lambda: len(catalog.turns._changed._waiters) == 2)  # type: ignore[attr-defined]
    thread.join(PATIENCE_S)
    assert catalog.has_fact("pinned")
    first = executed.index("COMMIT")
    assert executed.index("PRAGMA synchronous = FULL") > first
    assert executed.count("COMMIT") == 2


def pin(catalog: Shared) -> None:
    with catalog.transaction(durable=True) as transaction:
        transaction.add_fact("pinned")


def test_it_is_not_closed_under_a_transaction(catalog: Shared) -> None:
    with adding(catalog, "one"):
        thread = threading.Thread(target=catalog.reopen, daemon=True)
        thread.start()
        eventually(lambda: len(catalog.turns._changed._waiters) == 2)  # type: ignore[attr-defined]
    thread.join(PATIENCE_S)
    assert catalog.has_fact("one")


def test_nobody_is_kept_waiting_longer_than_he_has_patience(
    catalog: Shared, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CacheError, match="locked"), catalog.transaction(patience_s=SHORT_S):
            pass
        other.execute("ROLLBACK")


def test_who_waits_for_another_process_begins_when_that_is_done(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite3"
    with (
        closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as one,
        closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other,
    ):
        other.execute("BEGIN EXCLUSIVE")
        thread = threading.Thread(target=insist, args=(one, "BEGIN IMMEDIATE"), daemon=True)
        thread.start()
        assert not one.in_transaction
        other.execute("ROLLBACK")
        thread.join(PATIENCE_S)
        assert one.in_transaction
