"""Catalogues of older and newer versions of this program."""

import sqlite3
from pathlib import Path

import pytest

from ossfs_resume.cache import schema
from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.models import CacheSettings, ObjectVersion
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.errors import CacheError

VERSION_1 = """
CREATE TABLE entry (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    key           BLOB    NOT NULL,
    etag          BLOB    NOT NULL,
    size          INTEGER NOT NULL,
    part_size     INTEGER NOT NULL,
    incarnation   INTEGER NOT NULL DEFAULT 0,
    file_suffix   TEXT    NOT NULL,
    crc64         INTEGER,
    part_crc      INTEGER,
    parts_present INTEGER NOT NULL DEFAULT 0,
    bytes_present INTEGER NOT NULL DEFAULT 0,
    verified      INTEGER NOT NULL DEFAULT 0,
    last_used     INTEGER NOT NULL,
    complete      INTEGER AS (bytes_present = size) VIRTUAL,
    UNIQUE (key, etag, size)
) STRICT;
CREATE INDEX reincarnated ON entry (incarnation) WHERE incarnation > 0;
CREATE TABLE segment (id INTEGER PRIMARY KEY, written BLOB NOT NULL, synced BLOB NOT NULL) STRICT;
CREATE TABLE checksums (id INTEGER PRIMARY KEY, crcs BLOB NOT NULL) STRICT;
CREATE TABLE job (id INTEGER PRIMARY KEY AUTOINCREMENT, path_key BLOB NOT NULL) STRICT;
CREATE TABLE fact (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
"""
"""The schema as it was; never to be changed."""

PART = 65536


def make_version_1(cache: Path) -> None:
    """A store with one object of one part and a job, as the first version left it."""
    from ossfs_resume.cache.crc64 import checksum
    from ossfs_resume.cache.models import signed

    folder = cache / "bucket"
    (folder / "data/01").mkdir(parents=True)
    (folder / "data/01/1-abcd.0").write_bytes(b"old" * 100)
    catalog = sqlite3.connect(folder / "catalog.sqlite3")
    catalog.execute("PRAGMA journal_mode = WAL")
    catalog.executescript(VERSION_1)
    catalog.execute(
        "INSERT INTO entry (key, etag, size, part_size, incarnation, file_suffix, part_crc,"
        " parts_present, bytes_present, verified, last_used)"
        " VALUES (x'6b', x'65', 300, ?, 3, 'abcd', ?, 1, 300, 1, 1700000000)",
        (PART, signed(checksum([b"old" * 100]))),
    )
    catalog.execute(
        "INSERT INTO entry (key, etag, size, part_size, incarnation, file_suffix, last_used)"
        " VALUES (x'676f6e65', x'65', 300, ?, 1, 'ef01', 1700000000)",
        (PART,),
    )
    catalog.execute("INSERT INTO job (path_key) VALUES (x'6b')")
    catalog.execute("INSERT INTO fact VALUES ('mounted')")
    catalog.commit()
    catalog.close()


def layout(path: Path) -> list[tuple[str, ...]]:
    with sqlite3.connect(path) as connection:
        return sorted(connection.execute("SELECT type, name, tbl_name FROM sqlite_master"))


def test_a_version_1_catalogue_is_brought_up_to_date_with_all_it_knows(tmp_path: Path) -> None:
    make_version_1(tmp_path)
    store = CacheStore.open(CacheSettings(tmp_path, "bucket", PART))
    version = ObjectVersion("k", "e", 300)
    entry = store.acquire(version)
    assert (entry.progress.is_verified, entry.progress.is_complete) == (True, True)
    assert entry.check(0, 1) == []
    assert entry.read(0, 300) == b"old" * 100
    assert not store.notes.is_new
    assert store.notes.jobs() == [(1, "k", False)]
    [record] = store.keeper.records()
    assert (record.allocated, record.last_used) == (4096, 1700000000_000)
    store.release(entry)
    store.close()
    fresh = Catalog(tmp_path / "fresh.sqlite3").open()
    fresh.close()
    assert layout(tmp_path / "bucket/catalog.sqlite3") == layout(tmp_path / "fresh.sqlite3")


def test_an_upgrade_that_fails_leaves_the_old_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_version_1(tmp_path)
    path = tmp_path / "bucket/catalog.sqlite3"
    before = layout(path)
    broken = (*schema._STEPS[1], "CREATE TABLE entry (id)")
    monkeypatch.setattr(schema, "_STEPS", (schema._STEPS[0], broken))
    with pytest.raises(CacheError, match="already exists"):
        Catalog(path).open()
    assert layout(path) == before
    monkeypatch.undo()
    Catalog(path).open().close()


def test_a_newer_catalogue_is_refused_and_left_untouched(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite3"
    Catalog(path).open().close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(CacheError, match="use a newer ossfs-resume"):
        Catalog(path).open()
    assert path.read_bytes() == before
