"""The folder of one store: its layout, and who is using it.

::

    <directory>/<identity>/
        lock               held (flock) while a process opens the store
        ballast            dropped when the disk has no room for a removal
        claims             byte ranges locked: the parts that somebody is fetching
        owners/<uuid>      held (flock) as long as its process uses the store, and says which it is
        catalog.sqlite3    and -wal or -journal
        small.sqlite3      and -wal or -journal: the bytes of small objects
        suspect            there if somebody found the catalogue damaged; suspect-small likewise
        data/00 ... ff/    sparse data files
        damaged-<time>/    a catalogue that could not be read, with its data; or small.sqlite3

A lock says that an owner is alive where a process id cannot: ids repeat, and containers that share
a directory do not share ids. The kernel drops the lock with the process. But a process that was
killed while one of its threads slept in a hung disk stays, with its locks, until the disk answers;
of one in our own pid namespace /proc tells that its leader is gone.
"""

import errno
import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ossfs_resume.cache.directory import Directory
from ossfs_resume.cache.filesystem import is_read_only, require_local
from ossfs_resume.errors import CacheError

CATALOG_NAME = "catalog.sqlite3"
BLOBS_NAME = "small.sqlite3"
SUSPECT_NAME = "suspect"
SUSPECT_BLOBS_NAME = "suspect-small"
_DATA = "data"
_OWNERS = "owners"


class StoreFolder:
    """Paths, locks and owners of one store, which need not exist before ``opening``.

    Methods raise OSError, and CacheError for what cannot hold a cache or is not ours.
    """

    def __init__(self, directory: Path, identity: str) -> None:
        self.path = directory / identity
        self.catalog = self.path / CATALOG_NAME
        self.blobs = self.path / BLOBS_NAME
        self.is_read_only = False
        """Nobody can change anything here, so nobody need be told who uses it."""
        self._directory: Directory | None = None
        self._data: Directory | None = None
        self._owner: tuple[str, int] | None = None

    @property
    def directory(self) -> Directory:
        """The folder itself. Raises CacheError before it could be opened."""
        if self._directory is None:
            raise CacheError(f"the cache in {self.path.parent} is not open")
        return self._directory

    @property
    def data(self) -> Directory:
        """The folder of the data files; of those that are opened from now on. Raises CacheError."""
        if self._data is None:
            raise CacheError(f"the cache in {self.path.parent} has no data")
        return self._data

    @property
    def _owners(self) -> Directory:
        return self.directory.enter(_OWNERS)

    def make(self) -> None:
        """Open the folder, or make it; the one that has the name by now."""
        require_local(self.path)
        if self._directory is None or not self._directory.is_current():
            above, name = Directory.made(self.path.parent), self.path.name
            if is_read_only(above.path):
                if above.stat(name) is None:
                    raise OSError(errno.EROFS, os.strerror(errno.EROFS), os.fspath(self.path))
                self._directory = above.enter(name)
            else:
                self._directory = above.make(name)
                above.sync()
        self.is_read_only = is_read_only(self.path)
        if not self.is_read_only:
            self.directory.make(_OWNERS)

    def prepare(self) -> None:
        """Create what SQLite would create with other permissions, and the data folder."""
        self.make_data()
        # Closing any descriptor of a file drops all POSIX locks that this process has on it.
        for name in (CATALOG_NAME, BLOBS_NAME):
            if not self.is_read_only and self.directory.stat(name) is None:
                os.close(self.directory.open(name, os.O_RDWR | os.O_CREAT))

    def make_data(self) -> None:
        """The folder of the data files, unless it is there."""
        if self._data is not None and self._data.is_current():
            return
        if self.directory.stat(_DATA) is not None:
            self._data = self.directory.enter(_DATA)
        elif not self.is_read_only:
            self._data = self.directory.make(_DATA)
            self.directory.sync()

    def has_lost_catalog(self) -> bool:
        """Whether there are data, and nothing that says what they are."""
        status = self.directory.stat(CATALOG_NAME)
        if status is not None and status.st_size > 0:
            return False
        if self.directory.stat(_DATA) is None:
            return False
        data = self.directory.enter(_DATA)
        return any(data.enter(name).names() for name in data.names())

    def is_suspect(self, name: str = SUSPECT_NAME) -> bool:
        """Whether somebody found the catalogue, or the small objects, damaged."""
        return self.directory.stat(name) is not None

    def clear_suspicion(self, name: str = SUSPECT_NAME) -> None:
        """That was looked through and is sound."""
        self.directory.unlink(name)

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Make what is missing, and exclude every other process that opens this store."""
        self.make()
        flags = os.O_RDONLY if self.is_read_only else os.O_RDWR | os.O_CREAT
        descriptor = self.directory.open("lock", flags)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    # --- owners ---

    def register_owner(self) -> None:
        """Become an owner, unless the disk is read-only; only while ``opening`` is held."""
        if self.is_read_only:
            return
        name = str(uuid.uuid4())
        descriptor = self._owners.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        # Waits, for somebody may be looking at this very moment whether it is locked.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(OSError):  # of a full disk: the lock alone tells enough
            os.write(descriptor, _myself().encode())
        self._owner = (name, descriptor)

    def unregister_owner(self) -> None:
        """Stop being an owner; does nothing if it is none."""
        owner, self._owner = self._owner, None
        if owner:
            name, descriptor = owner
            # What cannot be removed, on a disk in trouble, is removed by whoever finds it unlocked.
            with suppress(OSError, CacheError):
                self._owners.unlink(name)
            os.close(descriptor)

    def other_owners(self) -> list[int]:
        """The process ids of others that are alive, 0 for one that cannot be known."""
        if self.is_read_only:
            return []
        owners, mine = self._owners, self._owner[0] if self._owner else ""
        found = (_living(owners, name) for name in owners.names() if name != mine)
        return [pid for pid in found if pid is not None]

    def forget_dead_owners(self) -> None:
        """Remove what dead ones left; only while ``opening`` is held."""
        if self.is_read_only:
            return
        owners, mine = self._owners, self._owner[0] if self._owner else ""
        for name in owners.names():
            if name != mine and _living(owners, name) is None:
                owners.unlink(name)

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Make what is missing, become an owner of what is there now, and exclude those who open
        it; if the block raises, the owner stays that of before."""
        with self.opening():
            former, self._owner = self._owner, None
            try:
                self.register_owner()
                self.prepare()
                yield
            except BaseException:
                self.unregister_owner()
                self._owner = former
                raise
        if former:
            name, descriptor = former
            with suppress(OSError, CacheError):
                self._owners.unlink(name)
            os.close(descriptor)

    def move_aside(self) -> Path:
        """Put catalogue and data away together and return where to.

        The catalogue goes last: as long as it is there, a crash leads here again. Its -wal or
        -journal must never outlive it, or SQLite would replay it into the next catalogue; its mark
        may.
        """
        small = (*_files(BLOBS_NAME), SUSPECT_BLOBS_NAME)
        target = self._move(_DATA, *small, *_files(CATALOG_NAME), SUSPECT_NAME)
        self._data = None
        return target

    def move_blobs_aside(self) -> Path:
        """The same with the small objects alone."""
        return self._move(*_files(BLOBS_NAME), SUSPECT_BLOBS_NAME)

    def _move(self, *names: str) -> Path:
        target = self.directory.make(f"damaged-{time.time_ns()}")
        for name in names:
            self.directory.move(name, target)
        self.directory.sync()
        return target.path


def _files(database: str) -> tuple[str, ...]:
    """Those of a database, itself last."""
    return tuple(f"{database}{suffix}" for suffix in ("-shm", "-wal", "-journal", ""))


def _myself() -> str:
    """What the next one finds in an owner's file: pid, time of its start, and its pid namespace."""
    pid = os.getpid()
    return f"{pid} {_start_time(pid)} {_namespace()}\n"


def _living(owners: Directory, name: str) -> int | None:
    """The process of an owner, 0 if it cannot be known; None if it is dead."""
    try:
        descriptor = owners.open(name, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _recorded(os.pread(descriptor, 200, 0).decode("ascii", "replace"))
    finally:
        os.close(descriptor)
    return None


def _recorded(text: str) -> int | None:
    """The process that a locked owner's file names; None if its leader is gone."""
    fields = text.split()
    if len(fields) != 3 or fields[2] != _namespace() or not fields[0].isdecimal():
        return 0
    pid = int(fields[0])
    return pid if _start_time(pid) == fields[1] else None


def _start_time(pid: int) -> str:
    """When a process began, in ticks since the boot; empty if it has ended (proc(5), stat)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return "unknown"
