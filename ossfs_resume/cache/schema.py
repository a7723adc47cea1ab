"""The tables of the catalogue, and how a connection to it is opened.

``entry`` has one row for each object version that has bytes here. When these are removed, so is
the row, and its id is never used again. ``parts_present`` and ``bytes_present`` are kept beside the
bitmaps so that questions about many entries touch no bitmap; *complete* is derived from them.

``segment`` holds two packed bitmaps of 1024 parts, ``checksums`` their CRC-64, eight little-endian
bytes a part: apart, because a commit replaces the small row and changes the large one in place.
The id of both is ``entry * 1024 + number``: 2^20 parts make exactly 1024 segments, and those of one
entry lie next to each other without an index. An object of one part has none; its CRC is
``entry.part_crc``, so that a small file costs one row.

CRCs are unsigned 64-bit numbers stored as SQLite's signed ones.

``allocated`` is what the disk gave to an entry's data files when it was last committed, in bytes;
``total`` is its sum, kept by a trigger, so that asking for the usage costs nothing. ``last_used``
is in Unix milliseconds. ``pin`` names keys; ``entry.pinned`` and ``entry.superseded`` say the same
of rows, so that the index ``eviction`` holds exactly what may be removed, in its order.

``repair`` tells the processes that share the store in which versions one of them found bad bytes;
the newest thousand are kept.

An old catalogue is brought up to date in steps, each from one version to the next; a new one takes
all of them. A step that was released is never changed.
"""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from ossfs_resume.cache import remembered
from ossfs_resume.errors import CacheError

SEGMENT_PARTS = 1024
MAX_SEGMENTS = 1024

_FIRST = (
    """
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
    ) STRICT
    """,
    "CREATE INDEX reincarnated ON entry (incarnation) WHERE incarnation > 0",
    """
    CREATE TABLE segment (
        id      INTEGER PRIMARY KEY,
        written BLOB NOT NULL,
        synced  BLOB NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE checksums (
        id      INTEGER PRIMARY KEY,
        crcs    BLOB NOT NULL
    ) STRICT
    """,
    "CREATE TABLE job (id INTEGER PRIMARY KEY AUTOINCREMENT, path_key BLOB NOT NULL) STRICT",
    "CREATE TABLE fact (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
)

_SPACE = (
    "ALTER TABLE entry ADD COLUMN allocated INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE entry ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE entry ADD COLUMN was_read INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE entry ADD COLUMN superseded INTEGER NOT NULL DEFAULT 0",
    # The numbers are those of eviction.Rank.
    """
    ALTER TABLE entry ADD COLUMN rank INTEGER
        AS (CASE WHEN superseded THEN 0 WHEN was_read THEN 2 ELSE 1 END) VIRTUAL
    """,
    # What is known of older entries: seconds, and how many bytes must lie in their files.
    """
    UPDATE entry SET last_used = last_used * 1000, was_read = 1,
        allocated = (bytes_present + 4095) / 4096 * 4096
    """,
    "CREATE INDEX eviction ON entry (rank, last_used) WHERE allocated > 0 AND NOT pinned",
    "CREATE TABLE pin (key BLOB PRIMARY KEY, size INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE total (allocated INTEGER NOT NULL) STRICT",
    "INSERT INTO total SELECT coalesce(sum(allocated), 0) FROM entry",
    """
    CREATE TRIGGER allocated AFTER UPDATE OF allocated ON entry
    WHEN new.allocated != old.allocated
    BEGIN UPDATE total SET allocated = allocated + new.allocated - old.allocated; END
    """,
)

_ONE_STOCK = (
    # Rows outlived their data once, to count how often these were removed.
    "DELETE FROM entry WHERE parts_present = 0 AND allocated = 0",
    "DROP INDEX reincarnated",
    "ALTER TABLE entry DROP COLUMN incarnation",
    """
    CREATE TABLE repair (
        id   INTEGER PRIMARY KEY AUTOINCREMENT,
        key  BLOB    NOT NULL,
        etag BLOB    NOT NULL,
        size INTEGER NOT NULL
    ) STRICT
    """,
)

_PAUSES = ("ALTER TABLE job ADD COLUMN paused INTEGER NOT NULL DEFAULT 0",)

_STEPS = (_FIRST, _SPACE, _ONE_STOCK, _PAUSES)

VERSION = len(_STEPS)

PATIENCE_S = 10.0
"""How long to wait for another process's transaction; ours last milliseconds."""

ALONE = "unix-excl"
"""SQLite's VFS for files that one process alone uses: the index of the log lies on the heap."""


def connect(path: Path, vfs: str = "", patience_s: float = PATIENCE_S) -> sqlite3.Connection:
    """A connection in autocommit mode, usable from any thread that holds its lock."""
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path))}" + (f"?vfs={vfs}" if vfs else ""),
        uri=True,
        timeout=patience_s,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA mmap_size = 0")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA synchronous = NORMAL")
        # A log that starts anew is cut to its real length, so its size says what is in it.
        connection.execute("PRAGMA journal_size_limit = 0")
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection, journal: str) -> None:
    """Switch to the kind of ``journal``; create the schema, or bring it up to date.

    Raises sqlite3.Error, or CacheError if the catalogue is of a newer version of this program or
    the kind of journal cannot be had.
    """
    version = require_known(connection)
    (mode,) = connection.execute(f"PRAGMA journal_mode = {journal}").fetchone()
    if mode != journal:
        raise CacheError(f"the catalogue stays in journal mode {mode}, {journal} was asked for")
    if version < VERSION:
        _upgrade(connection, version)
    _add_remembered(connection)
    connection.execute("SELECT name FROM sqlite_master").fetchall()


def require_known(connection: sqlite3.Connection) -> int:
    """The version of the schema. Raises CacheError if it is newer than this program."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise CacheError(
            f"catalogue has schema version {version}, this program knows {VERSION}; "
            "use a newer ossfs-resume or another cache directory"
        )
    return int(version)


def _add_remembered(connection: sqlite3.Connection) -> None:
    """Only if they are not there: a full disk must not keep anybody from opening."""
    names = "('listing', 'listing_page', 'answer', 'directory')"
    (count,) = connection.execute(
        f"SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN {names}"
    ).fetchone()
    if count < 4:
        with suppress(sqlite3.OperationalError):
            remembered.create(connection)


def _upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Take all missing steps, or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in _STEPS[version:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
