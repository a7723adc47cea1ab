"""The connections of the catalogue: who reads, who writes, and what a disk in trouble allows.

Three connections: a writer, a reader that never waits for a writer (WAL), and one for checkpoints,
which wait for the disk and so must not hold up either. On a disk in trouble there may be fewer (see
``opening``), or none while another process keeps the catalogue locked: then every method raises
CacheError, and opening is tried again every few seconds. A catalogue whose file was removed or
replaced under it takes no more changes, which nobody would ever see, until it is reopened. One that
turns out to be damaged raises DamagedCatalog, and is marked as suspect for whoever opens it next.

``synchronous`` is NORMAL, which never corrupts but may lose the last commits in a power cut: then
parts are fetched again. It is FULL where losing the commit would leave a lie: parts marked synced,
and a row removed before its file is. It is switched between transactions only.
"""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from ossfs_resume.cache.failure import DamagedCatalog, FailingDisk, is_damage, translated
from ossfs_resume.cache.filesystem import is_read_only
from ossfs_resume.cache.folder import SUSPECT_NAME, open_private
from ossfs_resume.cache.opening import Connections, close, open_connections
from ossfs_resume.cache.transaction import Transaction
from ossfs_resume.errors import CacheError

_log = logging.getLogger(__name__)

_CHECKPOINT_BYTES = 4 << 20
_RETRY_INTERVAL_S = 5.0
_ROOM_BYTES = 1 << 20
"""What must be free before a catalogue that was opened on a full disk is opened anew."""


class Database:
    """An open catalogue. Every method may block, is thread-safe and raises CacheError."""

    def __init__(self, path: Path) -> None:
        """Open or create ``path``. Raises DamagedCatalog, or CacheError for any other reason."""
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        # To be taken in this order by whoever needs both.
        self._read_lock, self._write_lock = threading.RLock(), threading.RLock()
        self._is_durable = False
        self._connections: Connections | None = None
        self._file: tuple[int, int] | None = None
        self._retry_at = 0.0
        self._is_closed = False
        self.on_failing: Callable[[str], None] = lambda why: None
        """Told why the disk cannot be trusted; with locks held, so it must not come back here."""
        try:
            self._connect()
        except (sqlite3.Error, OSError, CacheError) as error:
            if not _is_locked(error):
                raise _open_error(path, error) from error
            _log.warning("%s; going on without the cache", _open_error(path, error))

    def close(self) -> None:
        """Close; the last user of the catalogue also merges its log."""
        with self._read_lock, self._write_lock, translated("close the catalogue"):
            self._is_closed = True
            connections, self._connections = self._connections, None
            if connections is not None:
                close(connections.every)

    def is_displaced(self) -> bool:
        """Whether its file was removed or replaced since it was opened. Raises OSError."""
        return self._file is not None and _identity(self._path) != self._file

    def is_limited(self) -> bool:
        """Whether it was opened on a disk that allowed less than it does now. Raises OSError."""
        connections = self._connections
        if connections is None or not connections.is_limited or is_read_only(self._path.parent):
            return False
        space = os.statvfs(self._path.parent)
        return space.f_bavail * space.f_frsize >= _ROOM_BYTES

    def reopen(self) -> None:
        """Open the file that has the name by now, which must be there. Raises CacheError."""
        with self._read_lock, self._write_lock, self._translated(f"open {self._path} again"):
            connections, self._connections = self._connections, None
            if connections is not None:
                # SQLite sees that its file has moved and leaves alone what has the names now.
                close(connections.every)
            self._connect()

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[Transaction]:
        """Commit what the block does, or nothing if it raises; ``durable`` waits for the disk."""
        with self._write_lock, self._translated("change the catalogue"):
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

    def checkpoint_if_large(self) -> None:
        """Merge the log into the database if it is over 4 MiB; waits for the disk, not for users.

        Call from one thread at a time.
        """
        with self._translated("checkpoint the catalogue"):
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
        if self.is_displaced():
            raise CacheError(f"the cache directory {self._path.parent} was removed or replaced")
        return connections.writer

    @contextmanager
    def _translated(self, action: str) -> Iterator[None]:
        try:
            with translated(action):
                yield
        except FailingDisk as error:
            self.on_failing(str(error))
            if isinstance(error, DamagedCatalog):
                self._mark_suspect()
            raise

    def _mark_suspect(self) -> None:
        with suppress(OSError):
            mark = self._path.with_name(SUSPECT_NAME)
            os.close(open_private(mark, os.O_WRONLY | os.O_CREAT))

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """The reader, looking at one moment of the catalogue."""
        with self._read_lock, self._translated("read the catalogue"):
            connections = self._connections or self._require()
            reader = connections.reader
            with self._write_lock if connections.is_single else nullcontext():
                reader.execute("BEGIN")
                try:
                    yield reader
                finally:
                    if reader.in_transaction:
                        reader.execute("ROLLBACK")


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
    return DamagedCatalog(text) if is_damage(error) else CacheError(text)
