"""The folder of one store: its layout, its permissions and who is using it.

::

    <directory>/<identity>/
        lock               held (flock) while a process opens the store
        ballast            dropped when the disk has no room for a removal
        claims             byte ranges locked: the parts that somebody is fetching
        owners/<uuid>      held (flock) as long as its process uses the store
        catalog.sqlite3    and -wal, -shm
        suspect            there if somebody found the catalogue damaged
        data/00 ... ff/    sparse data files
        damaged-<time>/    a catalogue that could not be read, with its data

A lock says that an owner is alive where a process id cannot: ids repeat, and containers that share
a directory do not share ids. The kernel drops the lock with the process, however it ends.
"""

import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ossfs_resume.cache.filesystem import is_read_only, require_local

CATALOG_NAME = "catalog.sqlite3"
SUSPECT_NAME = "suspect"


def make_private_directory(path: Path) -> None:
    """Create ``path`` with mode 0700 whatever the umask; leave an existing one as it is."""
    try:
        path.mkdir(0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_private_directory(path.parent)
        path.mkdir(0o700)
    path.chmod(0o700)


def make_durable_directory(path: Path) -> None:
    """Create ``path`` and what is missing above it, mode 0700, so that a power cut keeps its name.

    The name of a directory that exists already may have been lost with its maker, so it is made
    durable too. A parent that may be written but not read cannot be synced.
    """
    if not path.parent.exists():
        make_durable_directory(path.parent)
    make_private_directory(path)
    with suppress(PermissionError):
        sync_directory(path.parent)


def open_private(path: Path, flags: int) -> int:
    """Open ``path`` close-on-exec; a file that this creates has mode 0600 whatever the umask."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    if flags & os.O_CREAT and os.fstat(descriptor).st_mode & 0o777 != 0o600:
        os.fchmod(descriptor, 0o600)
    return descriptor


def sync_directory(path: Path) -> None:
    """Make the names in ``path`` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class StoreFolder:
    """Paths, locks and owners of one store. Methods raise OSError, the constructor CacheError too
    (a file system that cannot hold a cache)."""

    def __init__(self, directory: Path, identity: str) -> None:
        self.path = directory / identity
        self.data = self.path / "data"
        self.catalog = self.path / CATALOG_NAME
        self.suspect = self.path / SUSPECT_NAME
        self._owners = self.path / "owners"
        self._owner: tuple[Path, int] | None = None
        self._make()

    def _make(self) -> None:
        require_local(self.path)
        make_durable_directory(self.path)
        if self.path.stat().st_mode & 0o777 != 0o700:
            self.path.chmod(0o700)
        make_private_directory(self._owners)
        self.is_read_only = is_read_only(self.path)
        """Nobody can change anything here, so nobody need be told who uses it."""

    def prepare(self) -> None:
        """Create what SQLite would create with other permissions, and the data folder."""
        make_durable_directory(self.data)
        # Closing any descriptor of a file drops all POSIX locks that this process has on it.
        if not self.catalog.exists():
            os.close(open_private(self.catalog, os.O_RDWR | os.O_CREAT))

    def has_lost_catalog(self) -> bool:
        """Whether there are data, and nothing that says what they are."""
        is_there = self.catalog.exists() and self.catalog.stat().st_size > 0
        return not is_there and any(self.data.glob("*/*"))

    def make_data(self) -> None:
        """The folder of the data files, unless it is there."""
        if not self.is_read_only and not self.data.exists():
            make_durable_directory(self.data)

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Exclude every other process that opens this store."""
        flags = os.O_RDONLY if self.is_read_only else os.O_RDWR | os.O_CREAT
        descriptor = open_private(self.path / "lock", flags)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def register_owner(self) -> None:
        """Become an owner, unless the disk is read-only; only while ``opening`` is held."""
        if self.is_read_only:
            return
        path = self._owners / str(uuid.uuid4())
        descriptor = open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._owner = (path, descriptor)

    def unregister_owner(self) -> None:
        """Stop being an owner; does nothing if it is none."""
        owner, self._owner = self._owner, None
        if owner:
            _let_go(owner)

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Make what is missing, become an owner of what is there now, and exclude those who open
        it; if the block raises, the owner stays that of before."""
        self._make()
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
            _let_go(former)

    def other_owners(self) -> int:
        """How many others are alive; unlinks what dead ones left. Only while ``opening``."""
        if self.is_read_only:
            return 0
        mine = self._owner[0] if self._owner else None
        return sum(_is_alive(path) for path in self._owners.iterdir() if path != mine)

    def move_aside(self) -> Path:
        """Put catalogue and data away together and return where to.

        The catalogue goes last: as long as it is there, a crash leads here again. Its -wal must
        never outlive it, or SQLite would replay it into the next catalogue; its mark may.
        """
        target = self.path / f"damaged-{time.time_ns()}"
        make_private_directory(target)
        log, shared = f"{CATALOG_NAME}-wal", f"{CATALOG_NAME}-shm"
        for name in ("data", shared, log, CATALOG_NAME, SUSPECT_NAME):
            source = self.path / name
            if source.exists():
                source.rename(target / name)
        sync_directory(self.path)
        return target


def _let_go(owner: tuple[Path, int]) -> None:
    """What cannot be removed, on a disk in trouble, is removed by whoever finds it unlocked."""
    path, descriptor = owner
    with suppress(OSError):
        path.unlink()
    os.close(descriptor)


def _is_alive(owner: Path) -> bool:
    descriptor = os.open(owner, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        owner.unlink()
        return False
    finally:
        os.close(descriptor)
