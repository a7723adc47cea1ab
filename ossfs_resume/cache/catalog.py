"""The catalogue: the one authority on which parts are present.

Three connections, each with its lock: a writer, a reader that never waits for a writer (WAL), and
one for checkpoints, which wait for the disk and so must not hold up either. On a disk in trouble
there may be fewer (see ``opening``), or none while another process keeps the catalogue locked: then
every method raises CacheError, and opening is tried again every few seconds. A catalogue whose file
was removed or replaced under it takes no more changes: nobody would ever see them.

``synchronous`` is NORMAL, which never corrupts but may lose the last commits in a power cut: then
parts are fetched again. It is FULL where losing the commit would leave a lie: parts marked synced,
and a row cleared before its file is removed. It is switched between transactions only.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ossfs_resume.cache import inventory, pins, remembered, segments
from ossfs_resume.cache.failure import translated
from ossfs_resume.cache.geometry import Geometry
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.opening import Connections, close, open_connections
from ossfs_resume.cache.records import (
    CRC_BYTES,
    EntryRecord,
    EntryRow,
    StoredPart,
    StoredParts,
    decoded,
    version_columns,
)
from ossfs_resume.cache.remembered import DirectoryTime
from ossfs_resume.cache.transaction import Transaction, find_entry
from ossfs_resume.errors import CacheError

_log = logging.getLogger(__name__)

_CHECKPOINT_BYTES = 4 << 20
_RETRY_INTERVAL_S = 5.0
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class DamagedCatalog(CacheError):
    """The catalogue's file is no database or a broken one."""


class Catalog:
    """An open catalogue. Every method may block, is thread-safe and raises CacheError."""

    def __init__(self, path: Path) -> None:
        """Open or create ``path``. Raises DamagedCatalog, or CacheError for any other reason."""
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        self._write_lock, self._read_lock = threading.RLock(), threading.RLock()
        self._is_durable = False
        self._connections: Connections | None = None
        self._file: tuple[int, int] | None = None
        self._retry_at = 0.0
        self._is_closed = False
        try:
            self._connect()
        except (sqlite3.Error, OSError, CacheError) as error:
            if not _is_locked(error):
                raise _open_error(path, error) from error
            _log.warning("%s; going on without the cache", _open_error(path, error))

    def close(self) -> None:
        """Close; the last user of the catalogue also merges its log."""
        with self._write_lock, self._read_lock, translated("close the catalogue"):
            self._is_closed = True
            connections, self._connections = self._connections, None
            if connections is not None:
                close(connections.every)

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[Transaction]:
        """Commit what the block does, or nothing if it raises; ``durable`` waits for the disk."""
        with self._write_lock, translated("change the catalogue"):
            writer = self._require_writer()
            if durable != self._is_durable:
                writer.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._is_durable = durable
            writer.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(writer)
                writer.execute("COMMIT")
            finally:
                if writer.in_transaction:
                    writer.execute("ROLLBACK")

    def find(self, version: ObjectVersion) -> EntryRow | None:
        """The row of ``version``, or None."""
        with self._reading() as reader:
            return find_entry(reader, version)

    def load(self, version: ObjectVersion) -> tuple[EntryRow, StoredParts] | None:
        """The row and the parts of ``version`` as of one moment, or None."""
        with self._reading() as reader:
            row = find_entry(reader, version)
            return None if row is None else (row, _load_parts(reader, version, row))

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
                return row, segments.load_run(reader, row.row_id, parts)
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

    def incarnations(self) -> dict[ObjectVersion, int]:
        """The versions that were discarded at least once, and how often."""
        with self._reading() as reader:
            rows = reader.execute(
                "SELECT key, etag, size, incarnation FROM entry WHERE incarnation > 0"
            ).fetchall()
        return {
            ObjectVersion(decoded(key), decoded(etag), size): incarnation
            for key, etag, size, incarnation in rows
        }

    def file_suffixes(self, row_ids: Iterable[int]) -> dict[int, str]:
        """The suffix that each of the rows has now; no item for a row that does not exist."""
        suffixes = {}
        with self._reading() as reader:
            for row_id in row_ids:
                row = reader.execute(
                    "SELECT file_suffix FROM entry WHERE id = ?", (row_id,)
                ).fetchone()
                if row:
                    suffixes[row_id] = row[0]
        return suffixes

    def allocated(self) -> int:
        """What all data files take on the disk, in bytes, as of their last commits."""
        with self._reading() as reader:
            (allocated,) = reader.execute("SELECT allocated FROM total").fetchone()
        return int(allocated)

    def sum_allocated(self) -> int:
        """The same, by adding up all entries."""
        with self._reading() as reader:
            (allocated,) = reader.execute(
                "SELECT coalesce(sum(allocated), 0) FROM entry"
            ).fetchone()
        return int(allocated)

    def integrity(self) -> list[str]:
        """What SQLite finds wrong in its own file."""
        with self._reading() as reader:
            rows = [text for (text,) in reader.execute("PRAGMA integrity_check")]
        return [] if rows == ["ok"] else rows

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

    def pinned(self, keys: Sequence[str]) -> list[bool]:
        """Whether each of the keys is pinned."""
        with self._reading() as reader:
            return [inventory.is_pinned(reader, key) for key in keys]

    def pinned_bytes(self) -> int:
        """How many bytes are reserved for pins."""
        with self._reading() as reader:
            return pins.total(reader)

    def jobs(self) -> list[tuple[int, str]]:
        """Number and path key of every job, in the order in which they were added."""
        with self._reading() as reader:
            rows = reader.execute("SELECT id, path_key FROM job ORDER BY id").fetchall()
        return [(job_id, decoded(path_key)) for job_id, path_key in rows]

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

    def checkpoint_if_large(self) -> None:
        """Merge the log into the database if it is over 4 MiB; waits for the disk, not for users.

        Call from one thread at a time.
        """
        with translated("checkpoint the catalogue"):
            connections = self._connections
            if connections is None or not self._is_log_large():
                return
            if connections.checkpointer is not None:
                connections.checkpointer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            elif connections.writer is not None:
                with self._write_lock:
                    connections.writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _is_log_large(self) -> bool:
        return self._wal.exists() and self._wal.stat().st_size > _CHECKPOINT_BYTES

    def _connect(self) -> Connections:
        """Open what was not opened yet. Raises sqlite3.Error, OSError or CacheError."""
        self._retry_at = time.monotonic() + _RETRY_INTERVAL_S
        connections = open_connections(self._path)
        if connections.is_single:
            self._read_lock = self._write_lock
        self._file = _identity(self._path)
        self._is_durable = False
        self._connections = connections
        return connections

    def _require(self) -> Connections:
        """The connections, opened now if they could not be before."""
        with self._write_lock:
            if self._connections is not None:
                return self._connections
            if self._is_closed or time.monotonic() < self._retry_at:
                raise CacheError("the catalogue is closed or locked by another process")
            return self._connect()

    def _require_writer(self) -> sqlite3.Connection:
        connections = self._connections or self._require()
        if connections.writer is None:
            raise CacheError(f"the cache's disk is read-only: {self._path.parent}")
        if _identity(self._path) != self._file:
            raise CacheError(
                f"the cache directory {self._path.parent} was removed or replaced; "
                "it is used again after a remount"
            )
        return connections.writer

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """The reader, looking at one moment of the catalogue."""
        with self._read_lock, translated("read the catalogue"):
            reader = (self._connections or self._require()).reader
            reader.execute("BEGIN")
            try:
                yield reader
            finally:
                if reader.in_transaction:
                    reader.execute("ROLLBACK")


def _load_parts(reader: sqlite3.Connection, version: ObjectVersion, row: EntryRow) -> StoredParts:
    geometry = Geometry(version.size, row.part_size)
    if geometry.part_count != 1:
        return segments.load(reader, row.row_id, geometry)
    if row.part_crc is None:
        return StoredParts(b"\0", b"\0", bytes(CRC_BYTES))
    return StoredParts(b"\1", b"\0", row.part_crc.to_bytes(CRC_BYTES, "little"))


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file that has this name now."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _is_locked(error: Exception) -> bool:
    return isinstance(error, sqlite3.Error) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _open_error(path: Path, error: Exception) -> CacheError:
    text = f"cannot open the catalogue {path}: {error}"
    if isinstance(error, sqlite3.Error) and error.sqlite_errorcode & 0xFF in _DAMAGE:
        return DamagedCatalog(text)
    return CacheError(text)
