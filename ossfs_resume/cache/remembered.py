"""What the origin said of names, kept so that a mount can start without it.

Listings, lookups and directories' times, by key, with bodies that only the caller understands. None
of it is an authority on anything: it is served while the origin cannot be asked, and losing it
costs a request. Therefore it is bounded, the oldest goes first, and no commit waits for the disk.

Functions over a connection; they raise sqlite3.Error. The tables are made by ``create`` beside
those of the schema's version: a catalogue of any version may have them or not.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ossfs_resume.cache.models import decoded, encoded

MAX_LISTING_BYTES = 256 << 20
MAX_ANSWERS = 100_000
MAX_DIRECTORIES = 100_000
"""Read at the start of a mount, so this bounds how long that takes."""

_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS listing (
        id     INTEGER PRIMARY KEY AUTOINCREMENT,
        prefix BLOB    NOT NULL UNIQUE,
        size   INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE IF NOT EXISTS listing_page (
        listing INTEGER NOT NULL,
        number  INTEGER NOT NULL,
        body    BLOB    NOT NULL,
        PRIMARY KEY (listing, number)
    ) STRICT
    """,
    """
    CREATE TABLE IF NOT EXISTS answer (
        id   INTEGER PRIMARY KEY AUTOINCREMENT,
        key  BLOB NOT NULL UNIQUE,
        body BLOB NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE IF NOT EXISTS directory (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        prefix      BLOB    NOT NULL UNIQUE,
        modified_ns INTEGER NOT NULL,
        names       BLOB    NOT NULL
    ) STRICT
    """,
)


@dataclass(frozen=True, slots=True)
class DirectoryTime:
    """When a directory changed, in Unix nanoseconds, and a digest of the names it had then."""

    modified_ns: int
    names: bytes = b""


@dataclass(slots=True)
class Remembered:
    """What is to be kept: pages of whole listings by prefix, answers by key (None: there is no
    such name, forget what was said before), and times by prefix."""

    listings: dict[str, Sequence[bytes]] = field(default_factory=dict)
    answers: dict[str, bytes | None] = field(default_factory=dict)
    directories: dict[str, DirectoryTime] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.listings or self.answers or self.directories)


def create(connection: sqlite3.Connection) -> None:
    """Make the tables that are not there; inside or outside a transaction."""
    for statement in _TABLES:
        connection.execute(statement)


def save(connection: sqlite3.Connection, news: Remembered) -> None:
    """Replace what was known of the same names, and drop what is too much."""
    for prefix, pages in news.listings.items():
        _save_listing(connection, encoded(prefix), pages)
    for key, body in news.answers.items():
        connection.execute("DELETE FROM answer WHERE key = ?", (encoded(key),))
        if body is not None:
            connection.execute("INSERT INTO answer (key, body) VALUES (?, ?)", (encoded(key), body))
    connection.executemany(
        "INSERT OR REPLACE INTO directory (prefix, modified_ns, names) VALUES (?, ?, ?)",
        [
            (encoded(prefix), time.modified_ns, time.names)
            for prefix, time in news.directories.items()
        ],
    )
    _drop_listings(connection)
    for table, most in (("answer", MAX_ANSWERS), ("directory", MAX_DIRECTORIES)):
        # Every change takes a new id, so the ids of the newest are the highest.
        connection.execute(
            f"DELETE FROM {table} WHERE id <= (SELECT max(id) FROM {table}) - ?", (most,)
        )


def listing(connection: sqlite3.Connection, prefix: str) -> list[bytes]:
    """The pages of the listing of ``prefix`` in order; none if there is none."""
    rows = connection.execute(
        "SELECT body FROM listing JOIN listing_page ON listing = id WHERE prefix = ?"
        " ORDER BY number",
        (encoded(prefix),),
    )
    return [body for (body,) in rows]


def answer(connection: sqlite3.Connection, key: str) -> bytes | None:
    """What was last found under ``key``."""
    row = connection.execute("SELECT body FROM answer WHERE key = ?", (encoded(key),)).fetchone()
    return row[0] if row else None


def directories(connection: sqlite3.Connection) -> Mapping[str, DirectoryTime]:
    """The times of all directories."""
    rows = connection.execute("SELECT prefix, modified_ns, names FROM directory")
    return {decoded(prefix): DirectoryTime(modified, names) for prefix, modified, names in rows}


def _save_listing(connection: sqlite3.Connection, prefix: bytes, pages: Sequence[bytes]) -> None:
    size = sum(map(len, pages))
    _delete(connection, "prefix = ?", prefix)
    if size > MAX_LISTING_BYTES:
        return
    number = connection.execute(
        "INSERT INTO listing (prefix, size) VALUES (?, ?)", (prefix, size)
    ).lastrowid
    connection.executemany(
        "INSERT INTO listing_page VALUES (?, ?, ?)",
        [(number, place, page) for place, page in enumerate(pages)],
    )


def _drop_listings(connection: sqlite3.Connection) -> None:
    (excess,) = connection.execute("SELECT total(size) FROM listing").fetchone()
    excess -= MAX_LISTING_BYTES
    while excess > 0:
        oldest, size = connection.execute(
            "SELECT id, size FROM listing ORDER BY id LIMIT 1"
        ).fetchone()
        _delete(connection, "id = ?", oldest)
        excess -= size


def _delete(connection: sqlite3.Connection, condition: str, value: bytes | int) -> None:
    connection.execute(
        f"DELETE FROM listing_page WHERE listing IN (SELECT id FROM listing WHERE {condition})",
        (value,),
    )
    connection.execute(f"DELETE FROM listing WHERE {condition}", (value,))
