"""Pins in the catalogue: keys whose data stay, and the bytes reserved for them.

A pin belongs to a key, not to a version: when the object is replaced, the new version is pinned and
the old one, superseded, may go. Functions over an open transaction; they raise sqlite3.Error.
"""

import sqlite3
from collections.abc import Iterable

from ossfs_resume.cache.models import encoded


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
    _add(connection, objects)
    return total(connection) <= room


def _add(connection: sqlite3.Connection, objects: Iterable[tuple[str, int]]) -> int:
    """By how many bytes all pins together have grown."""
    grown = 0
    for key, size in objects:
        name = encoded(key)
        before = connection.execute("SELECT size FROM pin WHERE key = ?", (name,)).fetchone()
        grown += size - (before[0] if before else 0)
        connection.execute(
            "INSERT INTO pin VALUES (?, ?) ON CONFLICT DO UPDATE SET size = excluded.size",
            (name, size),
        )
        connection.execute("UPDATE entry SET pinned = 1 WHERE key = ? AND NOT superseded", (name,))
    return grown


def reserve(connection: sqlite3.Connection, prefix: str, size: int, room: int) -> bool:
    """Keep room for the pins of all keys below a prefix, of so many bytes, that are to come page by
    page (`add_reserved`); those that are there already count.

    False, and nothing may be kept, if all pins together would exceed ``room`` bytes.
    """
    connection.execute("DELETE FROM pin WHERE key = ?", (_reservation(prefix),))
    missing = max(0, size - total(connection, prefix))
    connection.execute("INSERT INTO pin VALUES (?, ?)", (_reservation(prefix), missing))
    return total(connection) <= room


def add_reserved(
    connection: sqlite3.Connection, prefix: str, objects: Iterable[tuple[str, int]], room: int
) -> bool:
    """Like `add`, in the room that is kept for this prefix."""
    grown, name = _add(connection, objects), _reservation(prefix)
    kept = connection.execute("SELECT size FROM pin WHERE key = ?", (name,)).fetchone()
    if kept is None or kept[0] < grown:
        return total(connection) <= room
    connection.execute("UPDATE pin SET size = size - ? WHERE key = ?", (grown, name))
    return True


def end_reservation(connection: sqlite3.Connection, prefix: str) -> None:
    """All keys below the prefix are pinned."""
    connection.execute("DELETE FROM pin WHERE key = ?", (_reservation(prefix),))


def _reservation(prefix: str) -> bytes:
    """Lies below the prefix, so that it goes with the pins there; no object has this key."""
    return encoded(prefix) + b"\0"


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
