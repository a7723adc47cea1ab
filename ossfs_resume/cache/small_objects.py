"""The bytes of small objects: rows of ``small.sqlite3``, a database beside the catalogue.

A file for an object of a few kilobytes costs more than everything else that is done for it. So the
bytes of an object of one part, up to 64 KiB, are a row here, under the id of its row in the
catalogue; a `Blob` is one of them as the entry that stands on it sees it.

The catalogue stays the one authority: a row here that it does not name is rubbish, and what it
names is compared with its CRC-64 at first use. Whoever changes both holds the catalogue's writer
meanwhile, and bytes are committed here before their mark is there: a crash in between leaves
rubbish, which ``leftovers`` removes. A row is deleted after its mark was removed, durably.

``auto_vacuum`` is incremental: what eviction frees is used again, counts as free, and what is much
is given back to the disk in steps. It is a database of its own so that damage in it costs small
objects and nothing else.

A `Blob` is what a data file is to a larger object (``storage``). What was written is served from
memory at once, and is committed with its row in the catalogue, many in one transaction
(``committer``). The bytes stay in memory as long as somebody uses the entry: he goes on with them,
even if another process evicts the object meanwhile.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from ossfs_resume.cache.database import Database
from ossfs_resume.cache.folder import SUSPECT_BLOBS_NAME
from ossfs_resume.cache.opening import Tables
from ossfs_resume.cache.segment_files import Seen
from ossfs_resume.errors import CacheError

MOST_BYTES = 64 << 10
"""The largest object that is kept here."""

PENDING_BYTES = 32 << 20
"""How many bytes may wait in memory for a commit. Ordinary commits are far below that."""

VACUUM_PAGES = 256
"""How many pages are given back in a transaction, and how many may stay free."""

_PAGE = 4096
_OVERFLOW = _PAGE - 4
_MOST_LOCAL, _LEAST_LOCAL = _PAGE - 35, (_PAGE - 12) * 32 // 255 - 23

_VERSION = 1
_STATEMENTS = 500
"""Ids in one statement."""


def _require_known(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise CacheError(
            f"the store for small objects has version {version}, this program knows {_VERSION}"
        )
    return int(version)


def _prepare(connection: sqlite3.Connection, journal: str) -> None:
    version = _require_known(connection)
    if not version:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before anything is written
    (mode,) = connection.execute(f"PRAGMA journal_mode = {journal}").fetchone()
    if mode != journal:
        raise CacheError(f"the store for small objects stays in journal mode {mode}")
    if not version:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS blob (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT"
        )
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")
    connection.execute("SELECT name FROM sqlite_master").fetchall()


def allocated(size: int) -> int:
    """What a row of ``size`` bytes takes: a share of a page, and pages of its own for what
    does not fit (sqlite.org/fileformat2.html, section 1.6)."""
    payload = size + 8
    local = payload
    if payload > _MOST_LOCAL:
        local = _LEAST_LOCAL + (payload - _LEAST_LOCAL) % _OVERFLOW
        local = local if local <= _MOST_LOCAL else _LEAST_LOCAL
    in_a_page = (_PAGE - 12) // (local + 12)
    return -(-(payload - local) // _OVERFLOW) * _PAGE + _PAGE // in_a_page


class Blobs(Database):
    """The open database. Every method may block, is thread-safe and raises CacheError."""

    noun = "store for small objects"
    suspect_name = SUSPECT_BLOBS_NAME
    tables = Tables(_prepare, _require_known)

    def __init__(self, path: Path, *rest: object) -> None:
        super().__init__(path, *rest)  # type: ignore[arg-type]
        self._pending = 0
        self._pending_lock = threading.Lock()

    @property
    def is_usable(self) -> bool:
        """Whether it can be written, as far as is known. Memory only."""
        return self._connections is not None and self._connections.writer is not None

    def load(self, row_ids: Sequence[int]) -> dict[int, bytes]:
        """The bytes of those of the rows that exist."""
        found: dict[int, bytes] = {}
        with self._reading() as reader:
            for start in range(0, len(row_ids), _STATEMENTS):
                some = row_ids[start : start + _STATEMENTS]
                marks = ",".join("?" * len(some))
                found.update(
                    reader.execute(f"SELECT id, data FROM blob WHERE id IN ({marks})", some)
                )
        return found

    def store(self, rows: Iterable[tuple[int, bytes]]) -> None:
        """Add or replace rows, inside a transaction of the catalogue that marks them."""
        with self._writing() as writer:
            writer.executemany("INSERT OR REPLACE INTO blob VALUES (?, ?)", rows)

    def delete(self, row_ids: Iterable[int]) -> None:
        """Remove rows that the catalogue does not name any more."""
        ids = [(row_id,) for row_id in row_ids]
        if ids:
            with self._writing() as writer:
                writer.executemany("DELETE FROM blob WHERE id = ?", ids)

    def ids(self, ids: range) -> set[int]:
        """Those of the ids that have a row."""
        with self._reading() as reader:
            rows = reader.execute(
                "SELECT id FROM blob WHERE id BETWEEN ? AND ?", (ids.start, ids.stop - 1)
            )
            return {row_id for (row_id,) in rows}

    def last_id(self) -> int:
        """The highest id of a row; 0 if there is none."""
        with self._reading() as reader:
            (last,) = reader.execute("SELECT coalesce(max(id), 0) FROM blob").fetchone()
        return int(last)

    def free_bytes(self) -> int:
        """What its file has room for without growing."""
        with self._reading() as reader:
            (pages,) = reader.execute("PRAGMA freelist_count").fetchone()
            (size,) = reader.execute("PRAGMA page_size").fetchone()
        return int(pages) * int(size)

    def give_back(self) -> bool:
        """Give some of the free pages back to the disk if there are many; whether there were."""
        with self._writing() as writer:
            (pages,) = writer.execute("PRAGMA freelist_count").fetchone()
            if pages <= VACUUM_PAGES:
                return False
            for _ in range(VACUUM_PAGES):  # each call moves one, whatever number it is given here
                writer.execute("PRAGMA incremental_vacuum(1)")
        return True

    # --- bytes that wait in memory for their commit ---

    def reserve(self, size: int) -> None:
        """So many more wait. Raises CacheError if they are too many: the disk does not take them.
        Memory only."""
        with self._pending_lock:
            if self._pending + size > PENDING_BYTES:
                raise CacheError("small objects cannot be written as fast as they come")
            self._pending += size

    def settle(self, size: int) -> None:
        """So many do not wait any more. Memory only."""
        with self._pending_lock:
            self._pending -= size


_NONE: Mapping[int, Seen] = MappingProxyType({})


class Gone(CacheError):
    """The bytes of a small object are not in their row: evicted, or lost in a power cut. That says
    nothing of the disk."""


class Blob:
    """The bytes of one entry. ``row_id`` is None before the first commit.

    Thread-safe as far as a data file is: one part is written by one thread at a time.
    """

    def __init__(self, blobs: Blobs, row_id: int | None, size: int) -> None:
        self._blobs = blobs
        self.row_id = row_id
        self._size = size
        self._data: bytes | None = None
        self._unstored: bytes | None = None

    @property
    def unstored(self) -> bytes | None:
        """What was written and is not in its row yet."""
        return self._unstored

    def stored(self, data: bytes) -> None:
        """These are in the row now."""
        if self._unstored is data:
            self._unstored = None
            self._blobs.settle(len(data))

    def write(self, offset: int, chunks: Iterable[bytes | memoryview]) -> None:
        """Take all of the object. Raises CacheError if too much waits for a commit."""
        data = b"".join(chunks)
        assert offset == 0
        assert len(data) == self._size
        self._blobs.reserve(len(data))
        if (former := self._unstored) is not None:
            self._blobs.settle(len(former))
        self._data = self._unstored = data

    def hold(self) -> bool:
        """Bring the bytes into memory; whether they are there. Raises CacheError."""
        if self._data is None and self.row_id is not None:
            for found in self._blobs.load([self.row_id]).values():
                self.bring(found)
        return self._data is not None

    def bring(self, data: bytes) -> None:
        """This is what the row has; unless something was written meanwhile. Memory only."""
        if self._data is None:
            self._data = data

    def read(self, offset: int, length: int) -> bytes:
        """These bytes, fewer if the row is shorter. Raises Gone, CacheError."""
        if not self.hold() or (data := self._data) is None:
            raise Gone(f"the bytes of a small object, row {self.row_id}, are not there")
        return data[offset : offset + length]

    def read_nowait(self, offset: int, length: int) -> memoryview | None:
        """The same if they are in memory."""
        data = self._data
        if data is None or len(data) < offset + length:
            return None
        return memoryview(data)[offset : offset + length]

    def forget_pages(self) -> None:
        """Let what is read next come from the row."""
        if self._unstored is None:
            self._data = None

    @property
    def seen(self) -> Mapping[int, Seen]:
        """Nothing: there is no file that somebody could touch."""
        return _NONE

    def was_touched(self) -> bool:
        """Never: there is no file."""
        return False

    def data_runs(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """What there is of these bytes. Raises CacheError."""
        if self._exists():
            yield 0, self._size

    def allocated(self) -> int:
        """What the row takes of the disk, or will take. Raises CacheError."""
        is_there = self._unstored is not None or self._exists()
        return allocated(self._size) if is_there else 0

    @staticmethod
    def takes(size: int) -> int:
        """What a row of so many bytes takes of the disk."""
        return allocated(size)

    def _exists(self) -> bool:
        return self.row_id is not None and bool(
            self._blobs.ids(range(self.row_id, self.row_id + 1))
        )

    def lock_alone(self) -> bool:
        """Whoever else uses the object has its bytes in memory."""
        return True

    def share(self) -> None:
        """There was nothing to lock."""

    def unlink(self, *, at_once: bool = False) -> None:
        """Remove the row. Raises CacheError."""
        if self.row_id is not None:
            self._blobs.delete([self.row_id])

    def punch(self, offset: int, length: int) -> None:
        """Remove all bytes. Raises CacheError."""
        self.unlink()

    def give_away(self, place: Path, prepare: Callable[[int], None]) -> None:
        """Never: there is no file. Raises ValueError."""
        raise ValueError("a small object has no file that could be given away")

    def sync(self) -> None:
        """All small objects are synced together (``committer``)."""

    def close(self) -> None:
        """Let go of the bytes."""
        if (unstored := self._unstored) is not None:
            self.stored(unstored)
        self._data = None
