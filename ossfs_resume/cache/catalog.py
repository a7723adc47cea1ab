"""The catalogue: the one authority on which parts are present. Here are the questions to it.

Changes are made in a ``transaction``; ``database`` says on what all of it stands.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from ossfs_resume.cache import inventory, part_rows, pins, remembered
from ossfs_resume.cache.database import Database
from ossfs_resume.cache.geometry import Geometry
from ossfs_resume.cache.models import (
    CRC_BYTES,
    EntryRecord,
    EntryRow,
    ObjectVersion,
    StoredFile,
    StoredJob,
    StoredPart,
    StoredParts,
    Totals,
    decoded,
    version_columns,
)
from ossfs_resume.cache.remembered import DirectoryTime
from ossfs_resume.cache.transaction import Transaction, find_blobs, find_entry


class Catalog(Database):
    """An open catalogue. Every method may block, is thread-safe and raises CacheError."""

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[Transaction]:
        """Commit what the block does, or nothing if it raises; ``durable`` waits for the disk."""
        with self._writing(durable=durable) as writer:
            yield Transaction(writer)

    def find(self, version: ObjectVersion) -> EntryRow | None:
        """The row of ``version``, or None."""
        with self._reading() as reader:
            return find_entry(reader, version)

    def load(self, versions: Sequence[ObjectVersion]) -> list[tuple[EntryRow, StoredParts] | None]:
        """The row and the parts of each version as of one moment, or None."""
        with self._reading() as reader:
            rows = [find_entry(reader, version) for version in versions]
            return [
                None if row is None else (row, _load_parts(reader, version, row))
                for version, row in zip(versions, rows, strict=True)
            ]

    def load_run(
        self, version: ObjectVersion, parts: range
    ) -> tuple[EntryRow, Sequence[StoredPart]] | None:
        """The row of ``version`` and those of ``parts`` that are present, or None."""
        with self._reading() as reader:
            row = find_entry(reader, version)
            if row is None:
                return None
            geometry = Geometry(version.size, row.part_size)
            if geometry.part_count != 1:
                return row, part_rows.load_run(reader, row.row_id, parts)
            return row, [] if row.part_crc is None else [StoredPart(0, row.part_crc)]

    def present_bytes(self, versions: Sequence[ObjectVersion]) -> list[int]:
        """How many bytes of each version are present; 0 for an unknown one.

        Of the many versions of a listing few are known as a rule: one look at what lies between
        the first and the last of their keys finds these.
        """
        found = []
        with self._reading() as reader:
            known = inventory.present_between(reader, versions)
            if known is not None:
                return (
                    [known.get(version, 0) for version in versions]
                    if known
                    else [0] * len(versions)
                )
            for version in versions:
                row = reader.execute(
                    "SELECT bytes_present FROM entry WHERE key = ? AND etag = ? AND size = ?",
                    version_columns(version),
                ).fetchone()
                found.append(row[0] if row else 0)
        return found

    def present_below(self, prefix: str, limit: int) -> dict[ObjectVersion, int] | None:
        """Bytes present of all versions below a prefix; None if there are more than ``limit``."""
        with self._reading() as reader:
            return inventory.present_below(reader, prefix, limit)

    def last_row_id(self) -> int:
        """The highest id of a row; 0 if there is none."""
        with self._reading() as reader:
            (last,) = reader.execute("SELECT coalesce(max(id), 0) FROM entry").fetchone()
        return int(last)

    def blobs(self, ids: range) -> set[int]:
        """The ids in the range that are those of small objects that are present."""
        with self._reading() as reader:
            return set(find_blobs(reader, ids))

    def files(self, row_ids: Iterable[int]) -> dict[int, StoredFile]:
        """What each of the rows says of its file now; no item for a row that does not exist."""
        found = {}
        with self._reading() as reader:
            for row_id in row_ids:
                row = reader.execute(
                    "SELECT file_suffix, allocated FROM entry WHERE id = ?", (row_id,)
                ).fetchone()
                if row:
                    found[row_id] = StoredFile(*row)
        return found

    def allocated(self) -> int:
        """What all data files take on the disk, in bytes, as of their last commits."""
        with self._reading() as reader:
            (allocated,) = reader.execute("SELECT allocated FROM total").fetchone()
        return int(allocated)

    def allocated_with(self, pending: Callable[[], int]) -> int:
        """The same, and what ``pending`` says beside it: both of a moment when nothing is on its
        way from one to the other. Waits for a transaction that waits for the disk."""
        with self._write_lock, self._translated("read the catalogue"):
            connections = self._connections or self._require()
            reader = connections.writer or connections.reader
            (allocated,) = reader.execute("SELECT allocated FROM total").fetchone()
            return int(allocated) + pending()

    def sum_allocated(self) -> int:
        """The same, by adding up all entries."""
        with self._reading() as reader:
            (allocated,) = reader.execute(
                "SELECT coalesce(sum(allocated), 0) FROM entry"
            ).fetchone()
        return int(allocated)

    def evictable(self, after: EntryRecord | None, limit: int) -> list[EntryRecord]:
        """At most ``limit`` entries that eviction may choose from, in its order, those ``after``
        the one given."""
        place = (after.rank, after.last_used, after.row.row_id) if after else (-1, 0, 0)
        with self._reading() as reader:
            return inventory.evictable(reader, place, limit)

    def entries(self, path: str, after: ObjectVersion | None, limit: int) -> list[EntryRecord]:
        """At most ``limit`` entries in the order of their keys, those behind ``after``.

        ``path`` is a key, or a prefix that ends in ``/`` or is empty.
        """
        with self._reading() as reader:
            return inventory.entries(reader, path, after, limit)

    def totals(self, path: str) -> Totals:
        """What is cached of a key, or below a prefix, added up."""
        with self._reading() as reader:
            return inventory.totals(reader, path)

    def pinned(self, keys: Sequence[str]) -> list[bool]:
        """Whether each of the keys is pinned."""
        with self._reading() as reader:
            return [inventory.is_pinned(reader, key) for key in keys]

    def pinned_bytes(self, path: str = "") -> int:
        """How many bytes are reserved for the pins of a key, or of all below a prefix."""
        with self._reading() as reader:
            return pins.total(reader, path)

    def last_repair(self) -> int:
        """The number of the newest announcement of a repair."""
        with self._reading() as reader:
            (number,) = reader.execute("SELECT coalesce(max(id), 0) FROM repair").fetchone()
        return int(number)

    def repairs(self, after: int) -> dict[int, ObjectVersion]:
        """The versions in which bad bytes were found since the announcement ``after``."""
        with self._reading() as reader:
            rows = reader.execute(
                "SELECT id, key, etag, size FROM repair WHERE id > ? ORDER BY id", (after,)
            ).fetchall()
        return {
            number: ObjectVersion(decoded(key), decoded(etag), size)
            for number, key, etag, size in rows
        }

    def jobs(self) -> list[StoredJob]:
        """Every job, in the order in which they were added."""
        with self._reading() as reader:
            rows = reader.execute("SELECT id, path_key, paused FROM job ORDER BY id").fetchall()
        return [StoredJob(number, decoded(path), bool(paused)) for number, path, paused in rows]

    def has_fact(self, name: str) -> bool:
        """Whether ``name`` was ever added."""
        with self._reading() as reader:
            return (
                reader.execute("SELECT 1 FROM fact WHERE name = ?", (name,)).fetchone() is not None
            )

    def recall_listing(self, prefix: str) -> list[bytes]:
        """The pages that were kept of the listing of ``prefix``."""
        with self._reading() as reader:
            return remembered.listing(reader, prefix)

    def recall_answer(self, key: str) -> bytes | None:
        """What was last found under ``key``, if it was kept."""
        with self._reading() as reader:
            return remembered.answer(reader, key)

    def recall_directories(self) -> Mapping[str, DirectoryTime]:
        """The times of all directories that were kept."""
        with self._reading() as reader:
            return remembered.directories(reader)


def _load_parts(reader: sqlite3.Connection, version: ObjectVersion, row: EntryRow) -> StoredParts:
    geometry = Geometry(version.size, row.part_size)
    if geometry.part_count != 1:
        return part_rows.load(reader, row.row_id, geometry)
    if row.part_crc is None:
        return StoredParts(b"\0", b"\0", bytes(CRC_BYTES))
    return StoredParts(b"\1", b"\0", row.part_crc.to_bytes(CRC_BYTES, "little"))
