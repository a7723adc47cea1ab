"""Questions about many entries at once. Functions over a connection; they raise sqlite3.Error."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from ossfs_resume.cache.models import (
    EntryRecord,
    EntryRow,
    ObjectVersion,
    Totals,
    decoded,
    encoded,
    unsigned,
    version_columns,
)
from ossfs_resume.cache.pins import below

_COLUMNS = (
    "id, key, etag, size, part_size, file_suffix, crc64, part_crc, parts_present,"
    " bytes_present, verified, allocated, last_used, rank, pinned"
)

Place = tuple[int, int, int]
"""Where an entry stands in the order of eviction: rank, time of last use, row id."""


def evictable(connection: sqlite3.Connection, after: Place, limit: int) -> list[EntryRecord]:
    """At most ``limit`` entries that may be evicted, in order, those behind ``after``."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM entry INDEXED BY eviction WHERE allocated > 0 AND NOT pinned"
        " AND (rank, last_used, id) > (?, ?, ?) ORDER BY rank, last_used, id LIMIT ?",
        (*after, limit),
    )
    return list(map(_record, rows))


def entries(
    connection: sqlite3.Connection, path: str, after: ObjectVersion | None, limit: int
) -> list[EntryRecord]:
    """At most ``limit`` entries of a key or prefix, by key, those behind ``after``."""
    condition, values = below(path)
    key, etag, size = version_columns(after) if after else (encoded(path), b"", -1)
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM entry WHERE {condition}"
        " AND (key, etag, size) > (:key, :etag, :size) ORDER BY key, etag, size LIMIT :limit",
        {**values, "key": key, "etag": etag, "size": size, "limit": limit},
    )
    return list(map(_record, rows))


def totals(connection: sqlite3.Connection, path: str) -> Totals:
    """What is cached of a key or prefix, added up in one pass over its rows."""
    condition, values = below(path)
    columns = (
        "count(*)",
        "sum(bytes_present = size)",
        "sum(verified)",
        "sum(pinned)",
        "sum((size + part_size - 1) / part_size)",
        "sum(parts_present)",
        "sum(size)",
        "sum(bytes_present)",
    )
    current = ", ".join(f"coalesce({one} FILTER (WHERE NOT superseded), 0)" for one in columns)
    row = connection.execute(
        f"SELECT {current}, coalesce(sum(allocated), 0) FROM entry WHERE {condition}", values
    ).fetchone()
    return Totals(*row)


def present_between(
    connection: sqlite3.Connection, versions: Sequence[ObjectVersion]
) -> dict[ObjectVersion, int] | None:
    """Bytes present of all entries between the first and the last key of ``versions``, if there
    are no more of them than versions; None if there are, and for a single version."""
    if len(versions) <= 1:
        return None
    keys = [encoded(version.key) for version in versions]
    rows = connection.execute(
        "SELECT key, etag, size, bytes_present FROM entry WHERE key BETWEEN ? AND ? LIMIT ?",
        (min(keys), max(keys), len(versions) + 1),
    ).fetchall()
    return None if len(rows) > len(versions) else _present(rows)


def present_below(
    connection: sqlite3.Connection, prefix: str, limit: int
) -> dict[ObjectVersion, int] | None:
    """Bytes present of all entries below a prefix; None if there are more than ``limit``."""
    condition, values = below(prefix)
    rows = connection.execute(
        f"SELECT key, etag, size, bytes_present FROM entry WHERE {condition} LIMIT :limit",
        {**values, "limit": limit + 1},
    ).fetchall()
    return None if len(rows) > limit else _present(rows)


def _present(rows: Sequence[tuple[bytes, bytes, int, int]]) -> dict[ObjectVersion, int]:
    return {
        ObjectVersion(decoded(key), decoded(etag), size): present
        for key, etag, size, present in rows
    }


def is_pinned(connection: sqlite3.Connection, key: str) -> bool:
    """Whether a key is pinned."""
    found = connection.execute("SELECT 1 FROM pin WHERE key = ?", (encoded(key),)).fetchone()
    return found is not None


def _record(columns: tuple[Any, ...]) -> EntryRecord:
    row_id, key, etag, size, part_size, suffix, crc64, part_crc, *rest = columns
    parts, present, verified, allocated, last_used, rank, pinned = rest
    row = EntryRow(
        row_id,
        part_size,
        suffix,
        None if crc64 is None else unsigned(crc64),
        None if part_crc is None else unsigned(part_crc),
        parts,
        present,
        bool(verified),
    )
    version = ObjectVersion(decoded(key), decoded(etag), size)
    return EntryRecord(version, row, allocated, last_used, rank, bool(pinned))
