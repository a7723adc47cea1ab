"""The connections of a database: who reads, who writes, and what a disk in trouble allows.

Alone with it, three connections: a writer, a reader that never waits for a writer (WAL), and one
for checkpoints, which wait for the disk and so must not hold up either. With others there are two,
on a read-only disk one (see ``opening``), or none while the disk fails or another process keeps the
catalogue locked: then every method raises CacheError, until somebody reopens it (``renewal``). A
catalogue whose file was removed or replaced under it takes no more changes, which nobody would ever
see, until it is reopened. One that turns out to be damaged raises DamagedCatalog, and is marked as
suspect for whoever opens it next.

``synchronous`` is NORMAL, which never corrupts but may lose the last commits in a power cut: then
parts are fetched again. It is FULL where losing the commit would leave a lie: parts marked synced,
and a row removed before its file is. It is switched between transactions only.

Who opens or reopens holds the folder's lock; only ``share`` needs none (see ``sharing``). Which of
many changes is made when, and in which commit, is told in ``turns``.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from ossfs_resume.cache.directory import Directory
from ossfs_resume.cache.failure import (
    DamagedCatalog,
    FailingDisk,
    LockedOut,
    is_damage,
    is_locked,
    translated,
)
from ossfs_resume.cache.filesystem import is_read_only
from ossfs_resume.cache.folder import SUSPECT_NAME
from ossfs_resume.cache.opening import (
    CATALOGUE,
    Connections,
    close,
    leave_wal,
    open_connections,
)
from ossfs_resume.cache.turns import Turns, insist
from ossfs_resume.errors import CacheError

_log = logging.getLogger(__name__)

_CHECKPOINT_BYTES = 4 << 20
_LARGE_LOG_BYTES = 64 << 20
_LOOK = "SELECT 1 FROM sqlite_schema LIMIT 1"
"""Takes the lock of a reader."""

SHARING_PATIENCE_S = 5.0
REOPENING_PATIENCE_S = 0.5
"""How long to wait for one who has the catalogue for himself: at the start, and when it is tried
again while readers wait for the same locks."""


class Database:
    """An open database. Every method may block, is thread-safe and raises CacheError."""

    noun = "catalogue"
    suspect_name = SUSPECT_NAME
    """The file that says that somebody found it damaged."""
    tables = CATALOGUE

    def __init__(self, path: Path, has_company: Callable[[], bool] = lambda: False) -> None:
        """Nothing is opened yet. ``has_company`` says whether another process uses the store."""
        self._path = path
        self._has_company = has_company
        self._wal = path.with_name(path.name + "-wal")
        # To be taken in this order by whoever needs both.
        self._read_lock, self._turns = threading.RLock(), Turns()
        # Held while a checkpoint waits for the disk, and by whoever closes its connection.
        self._checkpoint_lock = threading.Lock()
        self._connections: Connections | None = None
        self._file: tuple[int, int] | None = None
        self._why_closed = "it is closed"
        self.changes = 0
        """Rises with every transaction, and when another file takes the place of this one."""
        self.on_failing: Callable[[str], None] = lambda why: None
        """Told why the disk cannot be trusted; with locks held, so it must not come back here."""

    def open(self) -> Self:
        """Open or create it. Raises DamagedCatalog, or CacheError for any other reason; LockedOut
        if another process does not let go of it within five seconds."""
        try:
            self._connect(SHARING_PATIENCE_S)
        except (sqlite3.Error, OSError) as error:
            raise self._open_error(error) from error
        return self

    @property
    def is_open(self) -> bool:
        """Whether questions can be asked at all."""
        return self._connections is not None

    @property
    def is_alone(self) -> bool:
        """Whether it keeps every other process out."""
        return self._connections is not None and self._connections.is_alone

    def close(self) -> None:
        """Close; the last user of the catalogue also merges its log."""
        with self._read_lock, self._turns.nobody_writing(), translated(f"close the {self.noun}"):
            self._let_go("it is closed")

    def is_displaced(self) -> bool:
        """Whether its file was removed or replaced since it was opened. Raises OSError."""
        return self._file is not None and _identity(self._path) != self._file

    def is_limited(self) -> bool:
        """Whether it was opened on a read-only disk that may be written by now. Raises OSError."""
        connections = self._connections
        return (
            connections is not None
            and connections.writer is None
            and not is_read_only(self._path.parent)
        )

    def reopen(self) -> None:
        """Open the file that has the name by now, which must be there. Raises CacheError."""
        with (
            self._read_lock,
            self._turns.nobody_writing(),
            self._translated(f"open {self._path} again"),
        ):
            # SQLite sees that its file has moved and leaves alone what has the names now.
            self._let_go("it is being opened again")
            self._connect()
            self.changes += 1

    def share(self) -> None:
        """Let others in: from now on with a rollback journal. Raises CacheError."""
        with self._read_lock, self._turns.nobody_writing(), self._translated(f"share {self._path}"):
            connections = self._connections
            if connections is None or connections.writer is None or not connections.is_alone:
                return
            with self._checkpoint_lock:  # a checkpoint may be waiting for the disk
                self._connections, self._why_closed = None, "it is being shared"
                close([one for one in connections.every if one is not connections.writer])
            is_left = False
            try:
                leave_wal(connections.writer)
                is_left = True
            finally:
                close([connections.writer])
                # On a disk without room for the merge the others must go without.
                self._connect(with_others=is_left)

    @contextmanager
    def _writing(
        self, *, durable: bool = False, patience_s: float | None = None
    ) -> Iterator[sqlite3.Connection]:
        """Commit what the block does, or nothing if it raises; ``durable`` waits for the disk,
        ``patience_s`` is how long others may keep it from beginning."""
        with self._translated(f"change the {self.noun}"):
            try:
                with self._turns.transaction(
                    self._writer_and_company, durable=durable, patience_s=patience_s
                ) as writer:
                    yield writer
            finally:
                with self._turns.lock:
                    self.changes += 1

    def integrity(self) -> list[str]:
        """What SQLite finds wrong in its own file."""
        with self._reading() as reader:
            rows = [text for (text,) in reader.execute("PRAGMA integrity_check")]
        return [] if rows == ["ok"] else rows

    def checkpoint_if_large(self) -> None:
        """Merge the log into the database if it is over 4 MiB; waits for the disk, and nobody for
        it."""
        if self.is_log_over(_CHECKPOINT_BYTES):
            self.checkpoint()

    def checkpoint(self) -> None:
        """The same, however large it is."""
        with self._checkpoint_lock, self._translated(f"checkpoint the {self.noun}"):
            connections = self._connections
            if connections is not None and connections.checkpointer:
                # A log that others write to without a pause never begins anew by itself.
                mode = "RESTART" if self.is_log_over(_LARGE_LOG_BYTES) else "PASSIVE"
                connections.checkpointer.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()

    def is_log_over(self, size: int) -> bool:
        """Whether what is not merged yet takes more than ``size`` bytes."""
        try:
            return self._wal.stat().st_size > size
        except OSError:
            return False

    def _connect(
        self, patience_s: float = REOPENING_PATIENCE_S, *, with_others: bool | None = None
    ) -> None:
        """Open what is not open. Raises sqlite3.Error, OSError or CacheError."""
        if with_others is None:
            with_others = self._has_company()
        try:
            self._connections = open_connections(
                self._path, patience_s, with_others=with_others, tables=self.tables
            )
        except (sqlite3.Error, OSError, CacheError) as error:
            self._why_closed = str(error)
            raise
        self._file = _identity(self._path)
        self._turns.begin_anew()

    def _let_go(self, why: str) -> None:
        with self._checkpoint_lock:
            connections, self._connections = self._connections, None
            self._why_closed = why
            if connections is not None:
                close(connections.every)

    def _require(self) -> Connections:
        connections = self._connections
        if connections is None:
            raise CacheError(f"the {self.noun} cannot be used: {self._why_closed}")
        return connections

    def _writer_and_company(self) -> tuple[sqlite3.Connection, bool]:
        return self._require_writer(), not self.is_alone

    def _require_writer(self) -> sqlite3.Connection:
        connections = self._require()
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
        flags = os.O_WRONLY | os.O_CREAT
        with suppress(OSError, CacheError):
            os.close(Directory.at(self._path.parent).open(self.suspect_name, flags))

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """The reader, looking at one moment of the database."""
        with self._read_lock, self._translated(f"read the {self.noun}"):
            connections = self._require()
            reader = connections.reader
            reader.execute("BEGIN")
            try:
                if not connections.is_alone:
                    insist(reader, _LOOK)
                yield reader
            finally:
                if reader.in_transaction:
                    reader.execute("ROLLBACK")

    def _open_error(self, error: Exception) -> CacheError:
        text = f"cannot open the {self.noun} {self._path}: {error}"
        if is_damage(error):
            return DamagedCatalog(text)
        return LockedOut(text) if is_locked(error) else CacheError(text)


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file that has this name now."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
