"""How a catalogue is opened: alone, with others, or on a disk that takes nothing.

The problem
    SQLite's write-ahead log has an index that all its users map into their memory. If the disk of
    such a file fails under the mapping (btrfs without room for a copy, XFS that was shut down), the
    kernel answers the next access with SIGBUS and the process is gone. So nothing here is mapped.

====================  ==============================================================
alone                 WAL through the VFS ``unix-excl`` (sqlite.org/vfs.html): the connections of
                      this process share an index on the heap, and a lock keeps everybody else out.
                      Three connections: a reader never waits for a writer, nor either for a
                      checkpoint
with others           a rollback journal, which has no index, and costs a sync for each commit; two
                      connections. ``TRUNCATE`` with synchronous=FULL also syncs the journal's end,
                      so that a power cut cannot take back what was committed (pager.c)
read-only             SQLite wants to create a -wal. Without one, the database is all there is and
                      nobody can change it: ``immutable=1``. A log that is there is never ignored:
                      without it the database may be half a checkpoint. It is read without locks,
                      with its index on the heap
====================  ==============================================================

Invariant
    The ordinary VFS opens no catalogue in WAL mode. Whether a process is alone is decided, and the
    mode of the file changed to WAL, only under the folder's lock and when no other owner is alive;
    to a rollback journal it is changed by whoever has it alone (``sharing``), or by the next one
    after a crash. A process that dies between two steps leaves either mode, and both can be opened
    by the next: a log is replayed by ``unix-excl``, alone, before anybody opens it with others.

Files that may not be written, are links or belong to others are refused by name: SQLite would say
less, or read them for ever and change nothing.
"""

import errno
import os
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from ossfs_resume.cache import schema
from ossfs_resume.cache.directory import Directory
from ossfs_resume.cache.failure import is_locked
from ossfs_resume.cache.filesystem import is_read_only
from ossfs_resume.errors import CacheError

_PAUSE_S = 0.02
_WAL, _TRUNCATE = "wal", "truncate"
_FILES = ("", "-wal", "-journal")
_WAL_HEADER = b"\2\2"  # sqlite.org/fileformat.html, offsets 18 and 19


@dataclass(frozen=True, slots=True)
class Tables:
    """What is in a database: ``prepare`` switches to a kind of journal and makes them, or brings
    them up to date; ``require_known`` raises CacheError if they are of a newer program."""

    prepare: Callable[[sqlite3.Connection, str], None] = schema.prepare
    require_known: Callable[[sqlite3.Connection], object] = schema.require_known


CATALOGUE = Tables()


@dataclass(slots=True)
class Connections:
    """Who reads, who writes (None: nobody can) and who makes checkpoints (None: nobody need)."""

    reader: sqlite3.Connection
    writer: sqlite3.Connection | None
    checkpointer: sqlite3.Connection | None
    every: list[sqlite3.Connection] = field(default_factory=list)

    @property
    def is_alone(self) -> bool:
        """Whether nobody else can open the catalogue."""
        return self.checkpointer is not None


def open_connections(
    path: Path, patience_s: float, *, with_others: bool, tables: Tables = CATALOGUE
) -> Connections:
    """Open or create the database ``path``, alone or with others; ``patience_s`` is for one who has
    it alone and has to let go of it.

    Raises sqlite3.Error, OSError, or CacheError for a newer format or files that are not ours.
    """
    if is_read_only(path.parent):
        return _open_read_only(path, tables)
    directory = Directory.at(path.parent)
    _require_usable(directory, path)
    opened: list[sqlite3.Connection] = []
    try:
        open_it = _open_shared if with_others else _open_alone
        connections = open_it(path, patience_s, tables, opened)
        _require_same(directory, path)
    except BaseException:
        close(opened)
        raise
    return connections


def leave_wal(connection: sqlite3.Connection) -> None:
    """Merge the log and go on without; ``connection`` is the only one, and alone."""
    (mode,) = connection.execute(f"PRAGMA journal_mode = {_TRUNCATE}").fetchone()
    if mode != _TRUNCATE:
        raise CacheError(f"the database stays in journal mode {mode}")


def _require_usable(directory: Directory, path: Path) -> None:
    for suffix in _FILES:
        file = path.with_name(path.name + suffix)
        directory.require_ours(file.name)
        if file.exists() and not os.access(file, os.R_OK | os.W_OK, effective_ids=True):
            # Ours, and still not ours to change: immutable, which is the trouble of a disk.
            is_forbidden = stat.S_IMODE(file.stat().st_mode) & 0o600 != 0o600
            number = errno.EACCES if is_forbidden else errno.EPERM
            raise PermissionError(number, os.strerror(number), os.fspath(file))


def _require_same(directory: Directory, path: Path) -> None:
    """SQLite takes a path: what it opened must be what was looked at."""
    status = directory.stat(path.name)
    if status is None or not os.path.samestat(status, path.stat(follow_symlinks=False)):
        raise CacheError(f"{path.parent} was replaced while it was opened")


def _open_alone(
    path: Path, patience_s: float, tables: Tables, opened: list[sqlite3.Connection]
) -> Connections:
    opened.append(schema.connect(path, schema.ALONE, patience_s))
    tables.prepare(opened[0], _WAL)
    opened.append(schema.connect(path, schema.ALONE))
    opened[1].execute("PRAGMA query_only = 1")
    opened.append(schema.connect(path, schema.ALONE))
    return Connections(opened[1], opened[0], opened[2], opened)


def _open_shared(
    path: Path, patience_s: float, tables: Tables, opened: list[sqlite3.Connection]
) -> Connections:
    deadline = time.monotonic() + patience_s
    while _is_wal(path):
        _try_to_leave_wal(path, deadline)
    opened.append(schema.connect(path))
    tables.prepare(opened[0], _TRUNCATE)
    opened.append(schema.connect(path))
    opened[1].execute("PRAGMA query_only = 1")
    return Connections(opened[1], opened[0], None, opened)


def _try_to_leave_wal(path: Path, deadline: float) -> None:
    """Raises sqlite3.Error when the time of ``time.monotonic`` is up, or for any other reason than
    that somebody else has the catalogue."""
    try:
        # It must not wait with a lock in its hands that the other one needs to let go.
        with closing(schema.connect(path, schema.ALONE, 0.0)) as connection:
            leave_wal(connection)
    except sqlite3.OperationalError as error:
        if not is_locked(error) or time.monotonic() >= deadline:
            raise
        time.sleep(_PAUSE_S)


def _is_wal(path: Path) -> bool:
    """By its header. To be asked only while this process has no connection: closing any descriptor
    of a file drops all POSIX locks that it has on it."""
    with path.open("rb", buffering=0) as file:
        return file.read(20)[18:] == _WAL_HEADER


def _open_read_only(path: Path, tables: Tables) -> Connections:
    if _has_bytes(path, "-wal"):
        # Nobody can change the file, so it needs no locks; an exclusive reader has its index on the
        # heap.
        parameters = "mode=ro&vfs=unix-none"
    else:
        parameters = "mode=ro" if _has_bytes(path, "-journal") else "mode=ro&immutable=1"
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path))}?{parameters}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA mmap_size = 0")
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        tables.require_known(connection)
    except BaseException:
        connection.close()
        raise
    return Connections(connection, None, None, [connection])


def _has_bytes(path: Path, suffix: str) -> bool:
    file = path.with_name(path.name + suffix)
    return file.exists() and file.stat().st_size > 0


def close(connections: list[sqlite3.Connection]) -> None:
    """Close all, the last opened first."""
    while connections:
        connections.pop().close()
