"""Every change of the catalogue, inside ``BEGIN IMMEDIATE``.

A change of an entry names the generation it was made for and answers False, having done nothing,
if the row is of another one. Bits are OR-ed in and counters moved by the difference, so that two
processes may write the same entry.
"""

import sqlite3
from collections.abc import Iterable

from ossfs_resume.cache import part_rows, pins, remembered
from ossfs_resume.cache.bitmap import PartBitmap
from ossfs_resume.cache.geometry import Geometry
from ossfs_resume.cache.models import (
    EntryChanges,
    EntryRow,
    Generation,
    ObjectVersion,
    PartRun,
    encoded,
    signed,
    unsigned,
    version_columns,
)
from ossfs_resume.cache.part_rows import Difference
from ossfs_resume.cache.remembered import Remembered

KEPT_REPAIRS = 1000
"""Announcements that are kept for those who are late."""


def find_entry(connection: sqlite3.Connection, version: ObjectVersion) -> EntryRow | None:
    """The row of ``version``, or None."""
    row = connection.execute(
        "SELECT id, part_size, file_suffix, crc64, part_crc, parts_present,"
        " bytes_present, verified FROM entry WHERE key = ? AND etag = ? AND size = ?",
        version_columns(version),
    ).fetchone()
    if row is None:
        return None
    row_id, part_size, suffix, crc64, part_crc, parts, present, verified = row
    return EntryRow(
        row_id=row_id,
        part_size=part_size,
        file_suffix=suffix,
        crc64=None if crc64 is None else unsigned(crc64),
        part_crc=None if part_crc is None else unsigned(part_crc),
        parts_present=parts,
        bytes_present=present,
        is_verified=bool(verified),
    )


def find_blobs(connection: sqlite3.Connection, ids: range) -> dict[int, Generation]:
    """The rows of small objects that are present, with an id in the range."""
    rows = connection.execute(
        "SELECT id, size, part_size FROM entry WHERE id BETWEEN ? AND ?"
        " AND file_suffix = '' AND part_crc IS NOT NULL",
        (ids.start, ids.stop - 1),
    )
    return {row_id: Generation(row_id, Geometry(size, part)) for row_id, size, part in rows}


class Transaction:
    """The changes that can be made; all or none are committed. Methods raise sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def ensure_entry(
        self, version: ObjectVersion, part_size: int, suffix: str, now: int
    ) -> EntryRow:
        """The row of ``version``, inserted with these values if there was none."""
        self._connection.execute(
            "INSERT INTO entry (key, etag, size, part_size, file_suffix, last_used)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (*version_columns(version), part_size, suffix, now),
        )
        row = find_entry(self._connection, version)
        assert row is not None
        pins.mark_current(self._connection, row.row_id)
        return row

    def apply(self, generation: Generation, changes: EntryChanges) -> bool:
        """Add written parts and everything else that is new."""
        if not self._is_current(generation):
            return False
        if generation.geometry.part_count == 1:
            added = self._add_only_part(generation, changes.runs)
        else:
            added = part_rows.add_parts(self._connection, generation, changes.runs)
        if changes.is_acquired:
            pins.mark_current(self._connection, generation.row_id)
        self._connection.execute(
            "UPDATE entry SET parts_present = parts_present + ?1,"
            " bytes_present = bytes_present + ?2, crc64 = coalesce(?3, crc64),"
            " verified = verified OR (?4 AND bytes_present + ?2 = size),"
            " last_used = max(last_used, ?5), was_read = was_read OR ?7,"
            " allocated = coalesce(?8, allocated) WHERE id = ?6",
            (
                added.parts,
                added.size,
                None if changes.crc64 is None else signed(changes.crc64),
                changes.is_verified,
                changes.used_at,
                generation.row_id,
                changes.is_read,
                changes.allocated,
            ),
        )
        return True

    def mark_synced(self, generation: Generation, runs: Iterable[range]) -> bool:
        """Mark those of the parts synced that are written."""
        if not self._is_current(generation):
            return False
        part_rows.mark_synced(self._connection, generation, runs)
        return True

    def clear_parts(self, generation: Generation, runs: Iterable[range]) -> bool:
        """Take parts away whose bytes are not what the catalogue says."""
        if not self._is_current(generation):
            return False
        if generation.geometry.part_count == 1:
            removed = self._remove_only_part(generation)
        else:
            removed = part_rows.remove_parts(self._connection, generation, runs)
        self._connection.execute(
            "UPDATE entry SET parts_present = parts_present - ?,"
            " bytes_present = bytes_present - ?, verified = 0 WHERE id = ?",
            (removed.parts, removed.size, generation.row_id),
        )
        return True

    def remove(self, generation: Generation) -> bool:
        """Forget everything; the row's id is never used again."""
        # First without its space, which the total is told of.
        if not self.set_allocated(generation.row_id, 0):
            return False
        self._connection.execute("DELETE FROM entry WHERE id = ?", (generation.row_id,))
        part_rows.delete_all(self._connection, generation.row_id)
        return True

    def evict(self, generation: Generation) -> bool:
        """Like ``remove``, but not if it was pinned meanwhile."""
        (is_pinned,) = self._connection.execute(
            "SELECT EXISTS (SELECT 1 FROM entry WHERE id = ? AND pinned)", (generation.row_id,)
        ).fetchone()
        return not is_pinned and self.remove(generation)

    def blobs(self, ids: range) -> dict[int, Generation]:
        """The rows of small objects that are present, with an id in the range."""
        return find_blobs(self._connection, ids)

    def announce_repair(self, version: ObjectVersion) -> None:
        """Tell every process that uses the store that bytes of this version were bad."""
        number = self._connection.execute(
            "INSERT INTO repair (key, etag, size) VALUES (?, ?, ?)", version_columns(version)
        ).lastrowid
        self._connection.execute("DELETE FROM repair WHERE id <= ? - ?", (number, KEPT_REPAIRS))

    def set_allocated(self, row_id: int, allocated: int) -> bool:
        """What the disk gave to the data files of a row, in bytes; False if there is no such."""
        updated = self._connection.execute(
            "UPDATE entry SET allocated = ? WHERE id = ?", (allocated, row_id)
        )
        return updated.rowcount > 0

    def recount(self, generation: Generation) -> bool:
        """Count again how many parts the bitmaps have."""
        if not self._is_current(generation):
            return False
        geometry = generation.geometry
        if geometry.part_count == 1:
            counted = "part_crc IS NOT NULL, bytes_present = size * (part_crc IS NOT NULL)"
            values: tuple[int, ...] = ()
        else:
            stored = part_rows.load(self._connection, generation.row_id, geometry)
            written = PartBitmap.from_bytes(geometry.part_count, stored.written)
            with_last = geometry.part_count > 0 and written.test(geometry.part_count - 1)
            counted = "?, bytes_present = ?"
            values = (written.count, geometry.bytes_in(written.count, with_last=with_last))
        self._connection.execute(
            f"UPDATE entry SET parts_present = {counted}, verified = 0 WHERE id = ?",
            (*values, generation.row_id),
        )
        return True

    def recount_total(self) -> None:
        """Add up again what the disk gave to all entries."""
        self._connection.execute(
            "UPDATE total SET allocated = (SELECT coalesce(sum(allocated), 0) FROM entry)"
        )

    def add_pins(self, objects: Iterable[tuple[str, int]], room: int) -> bool:
        """Pin keys, each with the bytes that it needs; False if all pins exceed ``room`` bytes."""
        return pins.add(self._connection, objects, room)

    def reserve_pins(self, prefix: str, size: int, room: int) -> bool:
        """Keep room for the pins below a prefix; False if all pins would exceed ``room`` bytes."""
        return pins.reserve(self._connection, prefix, size, room)

    def add_reserved_pins(self, prefix: str, objects: Iterable[tuple[str, int]], room: int) -> bool:
        """Like ``add_pins``, in the room that is kept for the prefix."""
        return pins.add_reserved(self._connection, prefix, objects, room)

    def end_reservation(self, prefix: str) -> None:
        """Keep no more room for the pins below a prefix."""
        pins.end_reservation(self._connection, prefix)

    def remove_pins(self, path: str) -> int:
        """Unpin a key, or all keys below a prefix; how many pins that were."""
        return pins.remove(self._connection, path)

    def add_job(self, path_key: str) -> int:
        """Append a job and return its number; numbers rise and are never used again."""
        cursor = self._connection.execute(
            "INSERT INTO job (path_key) VALUES (?)", (encoded(path_key),)
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def remove_job(self, job_id: int) -> None:
        """Remove a job; does nothing if there is none."""
        self._connection.execute("DELETE FROM job WHERE id = ?", (job_id,))

    def remove_jobs(self, path: str) -> int:
        """Remove the jobs for a key, or for all at and below a prefix; how many that were."""
        condition, values = pins.below(path, "path_key")
        return self._connection.execute(f"DELETE FROM job WHERE {condition}", values).rowcount

    def pause_jobs(self, path: str, *, is_paused: bool) -> None:
        """Mark the jobs for a key, or for all at and below a prefix."""
        condition, values = pins.below(path, "path_key")
        self._connection.execute(
            f"UPDATE job SET paused = :paused WHERE {condition}", {**values, "paused": is_paused}
        )

    def add_fact(self, name: str) -> None:
        """Remember that something has happened."""
        self._connection.execute("INSERT INTO fact VALUES (?) ON CONFLICT DO NOTHING", (name,))

    def remove_fact(self, name: str) -> None:
        """Forget that something has happened."""
        self._connection.execute("DELETE FROM fact WHERE name = ?", (name,))

    def remember(self, news: Remembered) -> None:
        """Keep what the origin said of names."""
        remembered.save(self._connection, news)

    def _is_current(self, generation: Generation) -> bool:
        row = self._connection.execute(
            "SELECT 1 FROM entry WHERE id = ?", (generation.row_id,)
        ).fetchone()
        return row is not None

    def _add_only_part(self, generation: Generation, runs: Iterable[PartRun]) -> Difference:
        added = Difference()
        for run in runs:
            (is_new,) = self._connection.execute(
                "SELECT part_crc IS NULL FROM entry WHERE id = ?", (generation.row_id,)
            ).fetchone()
            self._connection.execute(
                "UPDATE entry SET part_crc = ? WHERE id = ?",
                (signed(int.from_bytes(run.crcs, "little")), generation.row_id),
            )
            added += Difference(is_new, is_new * generation.geometry.size)
        return added

    def _remove_only_part(self, generation: Generation) -> Difference:
        removed = self._connection.execute(
            "UPDATE entry SET part_crc = NULL WHERE id = ? AND part_crc IS NOT NULL",
            (generation.row_id,),
        ).rowcount
        return Difference(removed, removed * generation.geometry.size)
