"""How a catalogue is opened, on a disk that may be full or read-only.

========================  ==============================================================
ordinary                  WAL with shared memory; three connections
full (IOERR_SHMSIZE)      no room for the shared memory: ``locking_mode=EXCLUSIVE`` keeps it in
                          this process, which is then the only user, with one connection
read-only (CANTOPEN)      SQLite wants to create a -wal. Without one, the database is all there is
                          and nobody can change it: ``immutable=1``. A -wal that is there is never
                          ignored: without it the database may be half a checkpoint
========================  ==============================================================

Found by trying each on such a disk; https://www.sqlite.org/wal.html says why. Files that may not be
written are refused by name: SQLite would say less, or read them for ever and change nothing.
"""

import errno
import os
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from ossfs_resume.cache import schema
from ossfs_resume.cache.filesystem import is_read_only


@dataclass(slots=True)
class Connections:
    """Who reads, who writes (None: nobody can) and who makes checkpoints; maybe all the same."""

    reader: sqlite3.Connection
    writer: sqlite3.Connection | None
    checkpointer: sqlite3.Connection | None
    every: list[sqlite3.Connection] = field(default_factory=list)

    @property
    def is_single(self) -> bool:
        """Whether one connection does everything, so that all must take turns."""
        return self.reader is self.writer

    @property
    def is_limited(self) -> bool:
        """Whether the disk allowed less than the ordinary."""
        return self.is_single or self.writer is None


def open_connections(path: Path) -> Connections:
    """Open or create the catalogue ``path`` in the first way that its disk allows.

    Raises sqlite3.Error, OSError, or CacheError for a newer format.
    """
    if is_read_only(path.parent):
        return _open_read_only(path)
    _require_permission(path)
    try:
        return _open_shared(path)
    except sqlite3.Error as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_IOERR_SHMSIZE:
            raise
    return _open_alone(path)


def _require_permission(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        if file.exists() and not os.access(file, os.R_OK | os.W_OK, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(file))


def _open_shared(path: Path) -> Connections:
    opened: list[sqlite3.Connection] = []
    try:
        opened.append(schema.connect(path))
        schema.prepare(opened[0])
        opened.append(schema.connect(path))
        opened[1].execute("PRAGMA query_only = 1")
        opened.append(schema.connect(path))
    except BaseException:
        close(opened)
        raise
    return Connections(opened[1], opened[0], opened[2], opened)


def _open_alone(path: Path) -> Connections:
    connection = schema.connect(path, "EXCLUSIVE")
    try:
        schema.prepare(connection)
    except BaseException:
        connection.close()
        raise
    return Connections(connection, connection, None, [connection])


def _open_read_only(path: Path) -> Connections:
    log = path.with_name(path.name + "-wal")
    has_log = log.exists() and log.stat().st_size > 0
    parameters = "mode=ro" if has_log else "mode=ro&immutable=1"
    connection = sqlite3.connect(
        f"file:{quote(os.fspath(path))}?{parameters}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        schema.require_known(connection)
    except BaseException:
        connection.close()
        raise
    return Connections(connection, None, None, [connection])


def close(connections: list[sqlite3.Connection]) -> None:
    """Close all, the last opened first."""
    while connections:
        connections.pop().close()
