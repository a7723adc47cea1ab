"""The state of an entry's parts in the tables ``segment`` and ``checksums``.

Functions over an open transaction; they return how many parts and bytes appeared or vanished, so
that the caller can move the entry's counters by the difference. They raise sqlite3.Error.

Bitmaps are read, changed and written back whole (128 bytes); CRCs are changed in place with
``blobopen``, so a commit rewrites the pages that it touches and not 8 KiB for each segment.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ossfs_resume.cache.geometry import Geometry
from ossfs_resume.cache.models import CRC_BYTES, Generation, PartRun, StoredPart, StoredParts
from ossfs_resume.cache.schema import MAX_SEGMENTS, SEGMENT_PARTS

_BITS_BYTES = SEGMENT_PARTS // 8


@dataclass(frozen=True, slots=True)
class Difference:
    """Parts and bytes that appeared in, or vanished from, an entry."""

    parts: int = 0
    size: int = 0

    def __add__(self, other: "Difference") -> "Difference":
        return Difference(self.parts + other.parts, self.size + other.size)


def segment_ids(row_id: int) -> tuple[int, int]:
    """The segments of an entry have ids in [first, stop)."""
    return row_id * MAX_SEGMENTS, (row_id + 1) * MAX_SEGMENTS


def add_parts(
    connection: sqlite3.Connection, generation: Generation, runs: Iterable[PartRun]
) -> Difference:
    """OR parts into *written* and store their CRCs. They are no longer synced."""
    added = Difference()
    for number, pieces in _split_runs(runs).items():
        segment = segment_ids(generation.row_id)[0] + number
        mask = _mask(piece.parts for piece in pieces)
        bits = _read_bits(connection, segment)
        if bits is None:
            _insert(connection, segment, _parts_in(generation.geometry, number))
            bits = (0, 0)
        written, synced = bits
        _write_bits(connection, segment, written | mask, synced & ~mask)
        _write_crcs(connection, segment, pieces)
        added += _difference(generation.geometry, number, mask & ~written)
    return added


def mark_synced(
    connection: sqlite3.Connection, generation: Generation, runs: Iterable[range]
) -> None:
    """OR those of the parts into *synced* that are written."""
    for number, mask in _masks(runs).items():
        segment = segment_ids(generation.row_id)[0] + number
        written, synced = _read_bits(connection, segment) or (0, 0)
        if new := mask & written & ~synced:
            _write_bits(connection, segment, written, synced | new)


def remove_parts(
    connection: sqlite3.Connection, generation: Generation, runs: Iterable[range]
) -> Difference:
    """Take parts out of *written* and *synced*."""
    removed = Difference()
    for number, mask in _masks(runs).items():
        segment = segment_ids(generation.row_id)[0] + number
        written, synced = _read_bits(connection, segment) or (0, 0)
        if gone := mask & written:
            _write_bits(connection, segment, written & ~mask, synced & ~mask)
            removed += _difference(generation.geometry, number, gone)
    return removed


def delete_all(connection: sqlite3.Connection, row_id: int) -> None:
    """Forget every part of an entry."""
    for table in ("segment", "checksums"):
        connection.execute(f"DELETE FROM {table} WHERE id >= ? AND id < ?", segment_ids(row_id))


def load(connection: sqlite3.Connection, row_id: int, geometry: Geometry) -> StoredParts:
    """All parts of an entry; segments that do not exist are absent parts."""
    count = -(-geometry.part_count // SEGMENT_PARTS)
    written = bytearray(count * SEGMENT_PARTS // 8)
    synced = bytearray(len(written))
    crcs = bytearray(geometry.part_count * CRC_BYTES)
    first, stop = segment_ids(row_id)
    for segment, written_bits, synced_bits, segment_crcs in connection.execute(
        "SELECT id, written, synced, crcs FROM segment JOIN checksums USING (id)"
        " WHERE id >= ? AND id < ?",
        (first, stop),
    ):
        place = (segment - first) * SEGMENT_PARTS
        written[place // 8 : place // 8 + len(written_bits)] = written_bits
        synced[place // 8 : place // 8 + len(synced_bits)] = synced_bits
        crcs[place * CRC_BYTES : place * CRC_BYTES + len(segment_crcs)] = segment_crcs
    return StoredParts(bytes(written), bytes(synced), bytes(crcs))


def load_run(connection: sqlite3.Connection, row_id: int, parts: range) -> list[StoredPart]:
    """Those of ``parts`` that are written; only their segments are read."""
    found = []
    for number, here in _split(parts):
        row = connection.execute(
            "SELECT written, crcs FROM segment JOIN checksums USING (id) WHERE id = ?",
            (segment_ids(row_id)[0] + number,),
        ).fetchone()
        if row is not None:
            written, crcs = int.from_bytes(row[0], "little"), row[1]
            found += [
                StoredPart(
                    number * SEGMENT_PARTS + place,
                    int.from_bytes(crcs[place * CRC_BYTES : (place + 1) * CRC_BYTES], "little"),
                )
                for place in here
                if written >> place & 1
            ]
    return found


def _split(parts: range) -> Iterator[tuple[int, range]]:
    """Cut a run of parts at the borders of segments; parts counted from the segment's first."""
    start = parts.start
    while start < parts.stop:
        number, place = divmod(start, SEGMENT_PARTS)
        stop = min(parts.stop, (number + 1) * SEGMENT_PARTS)
        yield number, range(place, place + stop - start)
        start = stop


def _split_runs(runs: Iterable[PartRun]) -> Mapping[int, list[PartRun]]:
    pieces: defaultdict[int, list[PartRun]] = defaultdict(list)
    for run in runs:
        place = 0
        for number, parts in _split(run.parts):
            stop = place + len(parts) * CRC_BYTES
            pieces[number].append(PartRun(parts.start, run.crcs[place:stop]))
            place = stop
    return pieces


def _masks(runs: Iterable[range]) -> Mapping[int, int]:
    masks: defaultdict[int, int] = defaultdict(int)
    for run in runs:
        for number, parts in _split(run):
            masks[number] |= _mask([parts])
    return masks


def _mask(runs: Iterable[range]) -> int:
    mask = 0
    for run in runs:
        mask |= (1 << run.stop) - (1 << run.start)
    return mask


def _parts_in(geometry: Geometry, number: int) -> int:
    return min(SEGMENT_PARTS, geometry.part_count - number * SEGMENT_PARTS)


def _difference(geometry: Geometry, number: int, bits: int) -> Difference:
    last = geometry.part_count - 1 - number * SEGMENT_PARTS
    count = bits.bit_count()
    return Difference(count, geometry.bytes_in(count, with_last=bool(bits >> last & 1)))


def _insert(connection: sqlite3.Connection, segment: int, count: int) -> None:
    connection.execute(
        "INSERT INTO segment VALUES (?, zeroblob(?), zeroblob(?))",
        (segment, _BITS_BYTES, _BITS_BYTES),
    )
    connection.execute(
        "INSERT INTO checksums VALUES (?, zeroblob(?))", (segment, count * CRC_BYTES)
    )


def _read_bits(connection: sqlite3.Connection, segment: int) -> tuple[int, int] | None:
    row = connection.execute(
        "SELECT written, synced FROM segment WHERE id = ?", (segment,)
    ).fetchone()
    if row is None:
        return None
    return int.from_bytes(row[0], "little"), int.from_bytes(row[1], "little")


def _write_bits(connection: sqlite3.Connection, segment: int, written: int, synced: int) -> None:
    connection.execute(
        "UPDATE segment SET written = ?, synced = ? WHERE id = ?",
        (written.to_bytes(_BITS_BYTES, "little"), synced.to_bytes(_BITS_BYTES, "little"), segment),
    )


def _write_crcs(connection: sqlite3.Connection, segment: int, runs: Iterable[PartRun]) -> None:
    with connection.blobopen("checksums", "crcs", segment) as blob:
        for run in runs:
            blob.seek(run.first * CRC_BYTES)
            blob.write(run.crcs)
