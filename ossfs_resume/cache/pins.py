"""Pins in the catalogue: keys whose data stay, and the bytes reserved for them.

A pin belongs to a key, not to a version: when the object is replaced, the new version is pinned and
the old one, superseded, may go. Functions over an open transaction; they raise sqlite3.Error.
"""

import sqlite3
from collections.abc import Iterable

from ossfs_resume.cache.records import encoded


def mark_current(connection: sqlite3.Connection, row_id: int) -> None:
    """The bucket has the version of this row under its key now, and no other."""
    connection.execute(
        "UPDATE entry SET superseded = id != ?1,"
        " pinned = id = ?1 AND EXISTS (SELECT 1 FROM pin WHERE pin.key = entry.key)"
        " WHERE key = (SELECT key FROM entry WHERE id = ?1)",
        (row_id,),
    )


def add(connection: sqlite3.Connection, objects: Iterable[tuple[str, int]], room: int) -> bool:
    """Pin keys, each with the bytes that it needs.

    False, and something may have been added, if all pins together exceed ``room`` bytes.
    """
    for key, size in objects:
        name = encoded(key)
        connection.execute(
            "INSERT INTO pin VALUES (?, ?) ON CONFLICT DO UPDATE SET size = excluded.size",
            (name, size),
        )
        connection.execute("UPDATE entry SET pinned = 1 WHERE key = ? AND NOT superseded", (name,))
    return total(connection) <= room


def remove(connection: sqlite3.Connection, path: str) -> int:
    """Unpin a key, or all keys below a prefix that ends in ``/`` or is empty."""
    condition, values = below(path)
    connection.execute(f"UPDATE entry SET pinned = 0 WHERE pinned AND {condition}", values)
    return connection.execute(f"DELETE FROM pin WHERE {condition}", values).rowcount


def total(connection: sqlite3.Connection, path: str = "") -> int:
    """How many bytes the pins of a key, or of all below a prefix, reserve."""
    condition, values = below(path)
    (size,) = connection.execute(
        f"SELECT coalesce(sum(size), 0) FROM pin WHERE {condition}", values
    ).fetchone()
    return int(size)


def below(path: str, column: str = "key") -> tuple[str, dict[str, bytes]]:
    """The SQL condition, and its values, for the keys that ``path`` names."""
    name = encoded(path)
    if path and not path.endswith("/"):
        return f"{column} = :path", {"path": name}
    if not path:
        return f"{column} >= :path", {"path": name}
    # The byte after "/" is "0": every key that starts with the prefix lies before it.
    return f"{column} >= :path AND {column} < :stop", {"path": name, "stop": name[:-1] + b"0"}
