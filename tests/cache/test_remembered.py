"""What the origin said is kept, replaced and bounded."""

import sqlite3
from pathlib import Path

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore
from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.remembered import DirectoryTime, Remembered


def test_everything_comes_back_after_a_restart(settings: CacheSettings) -> None:
    store = CacheStore.open(settings)
    store.notes.remember(
        Remembered(
            listings={"a/": [b"first", b"second"], "": [b"root"]},
            answers={"key\udcff": b"found", "gone": b"was"},
            directories={"a/": DirectoryTime(7, b"digest")},
        )
    )
    store.notes.remember(Remembered(listings={"a/": [b"new"]}, answers={"gone": None}))
    store.close()
    store = CacheStore.open(settings)
    assert store.notes.recall_listing("a/") == [b"new"]
    assert store.notes.recall_listing("") == [b"root"]
    assert store.notes.recall_listing("b/") == []
    assert store.notes.recall_answer("key\udcff") == b"found"
    assert store.notes.recall_answer("gone") is None
    assert store.notes.recall_directories() == {"a/": DirectoryTime(7, b"digest")}
    store.close()


def test_the_oldest_go_when_there_is_too_much(
    store: CacheStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ossfs_resume.cache.remembered.MAX_LISTING_BYTES", 250)
    monkeypatch.setattr("ossfs_resume.cache.remembered.MAX_ANSWERS", 2)
    monkeypatch.setattr("ossfs_resume.cache.remembered.MAX_DIRECTORIES", 2)
    for name in ("a", "b", "a", "c"):
        store.notes.remember(
            Remembered({name: [b"x" * 100]}, {name: b"x"}, {name: DirectoryTime(1)}),
        )
    assert [name for name in "abc" if store.notes.recall_listing(name)] == ["a", "c"]
    assert [name for name in "abc" if store.notes.recall_answer(name)] == ["a", "c"]
    assert sorted(store.notes.recall_directories()) == ["a", "c"]
    store.notes.remember(Remembered({"huge": [b"x" * 1000]}))
    assert store.notes.recall_listing("huge") == []
    assert store.notes.recall_listing("c")


def test_a_catalogue_without_the_tables_gets_them(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite3"
    Catalog(path).open().close()
    with sqlite3.connect(path) as connection:
        for table in ("listing", "listing_page", "answer", "directory"):
            connection.execute(f"DROP TABLE {table}")
    connection.close()
    catalog = Catalog(path).open()
    with catalog.transaction() as transaction:
        transaction.remember(Remembered(answers={"a": b"found"}))
    assert catalog.recall_answer("a") == b"found"
    catalog.close()
