"""Directories and files that are certainly ours: reached by descriptors, owned by us, no links.

The problem
    A cache may be put where others can write, and be used by root. A name in it that somebody else
    made into a link would have us remove, truncate or chmod what it leads to.

Invariants
    1. A name is resolved below an open directory (openat(2)) and never followed (O_NOFOLLOW); so
       nobody can swap a component between a check and a use.
    2. What was opened is looked at before it is used: a regular file or a directory, owned by the
       effective user, a file with one name only. Anything else is refused by its name.
    3. What we make has mode 0700 or 0600, whatever the umask.
    4. Opening waits for nobody (O_NONBLOCK, which a regular file ignores): a pipe has another end,
       for which a mount waited for ever when it was told to stop.
    5. A descriptor is closed when nobody refers to its `Directory` any more, so that no thread can
       meet another directory under the same number.
"""

import errno
import os
import pwd
import stat
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ossfs_resume.errors import CacheError

_NEVER_FOLLOW = os.O_NOFOLLOW | os.O_CLOEXEC


class NotOurs(CacheError):
    """A file or directory of the cache is a link, or belongs to somebody else."""


class Directory:
    """An open directory; ``path`` is its name for messages and for those who cannot do without.

    Methods take names of one component. They raise OSError, and NotOurs.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)

    @classmethod
    def at(cls, path: Path) -> "Directory":
        """An existing directory."""
        return cls._opened(path, path, None)

    @classmethod
    def made(cls, path: Path) -> "Directory":
        """A directory, with what is missing above it; its name survives a power cut.

        The name of one that exists already may have been lost with its maker, so it is made durable
        too. A parent that may be written but not read cannot be synced.
        """
        if not path.parent.exists():
            cls.made(path.parent)
        with suppress(FileExistsError):
            path.mkdir(0o700)
            path.chmod(0o700)
        with suppress(PermissionError):
            _sync_path(path.parent)
        return cls.at(path)

    def enter(self, name: str) -> "Directory":
        """A directory in this one."""
        return self._opened(self.path / name, name, self.descriptor)

    def make(self, name: str) -> "Directory":
        """The same, made private if it is not there or is not private."""
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=self.descriptor)
        directory = self.enter(name)
        if os.fstat(directory.descriptor).st_mode & 0o777 != 0o700:
            os.fchmod(directory.descriptor, 0o700)
        return directory

    def open(self, name: str, flags: int) -> int:
        """The descriptor of a file, which is close-on-exec; one that this creates has mode 0600."""
        try:
            flags |= _NEVER_FOLLOW | os.O_NONBLOCK
            descriptor = os.open(name, flags, 0o600, dir_fd=self.descriptor)
        except OSError as error:
            self._explain(name, error)
            raise
        try:
            status = os.fstat(descriptor)
            _require_ours(self.path / name, status)
            if flags & os.O_CREAT and status.st_mode & 0o777 != 0o600:
                os.fchmod(descriptor, 0o600)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def stat(self, name: str) -> os.stat_result | None:
        """What a name is, not followed; None if it does not exist."""
        try:
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def require_ours(self, name: str) -> None:
        """Raise NotOurs if there is a file of this name that we would not open."""
        if (status := self.stat(name)) is not None:
            _require_ours(self.path / name, status)

    def names(self) -> list[str]:
        """All names in it, in their order."""
        return sorted(os.listdir(self.descriptor))

    def unlink(self, name: str, *, missing_ok: bool = True) -> None:
        """Remove the name of a file."""
        try:
            os.unlink(name, dir_fd=self.descriptor)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def remove(self, name: str) -> None:
        """Remove a file, or a directory and everything in it; links are not followed."""
        status = self.stat(name)
        if status is None:
            return
        if not stat.S_ISDIR(status.st_mode):
            self.unlink(name)
            return
        below = self.enter(name)
        for each in below.names():
            below.remove(each)
        os.rmdir(name, dir_fd=self.descriptor)

    def move(self, name: str, target: "Directory") -> None:
        """Move what has this name, if anything has, to another directory of the file system."""
        with suppress(FileNotFoundError):
            os.rename(name, name, src_dir_fd=self.descriptor, dst_dir_fd=target.descriptor)

    def sync(self) -> None:
        """Make the names in it durable."""
        os.fsync(self.descriptor)

    def is_current(self) -> bool:
        """Whether its path still leads to it."""
        try:
            status = self.path.stat(follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(status, os.fstat(self.descriptor))

    def __repr__(self) -> str:
        return f"<Directory {self.path}>"

    @classmethod
    def _opened(cls, path: Path, name: str | Path, parent: int | None) -> "Directory":
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _NEVER_FOLLOW, dir_fd=parent)
        except NotADirectoryError:
            if parent is not None or path.is_symlink():
                _require_ours(path, os.stat(name, dir_fd=parent, follow_symlinks=False))
            raise  # what the user named himself is not ours to have removed
        directory = cls(path, descriptor)
        _require_ours(path, os.fstat(descriptor))
        return directory

    def _explain(self, name: str, error: OSError) -> None:
        if error.errno == errno.ELOOP:
            raise NotOurs(_link(self.path / name)) from error
        if error.errno == errno.ENXIO:  # a pipe or a socket
            self.require_ours(name)


def _require_ours(path: Path, status: os.stat_result) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFLNK:
        raise NotOurs(_link(path))
    if status.st_uid != os.geteuid():
        raise NotOurs(
            f"{path} belongs to {_user(status.st_uid)}, not to {_user(os.geteuid())};"
            " choose another cache directory with --cache-dir"
        )
    if kind == stat.S_IFREG and status.st_nlink > 1:
        raise NotOurs(f"{path} has other names as well (hard links); a cache shares no file")
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        raise NotOurs(f"{path} is neither a file nor a directory; remove it from the cache")


def _link(path: Path) -> str:
    return (
        f"{path} is a symbolic link, which a cache must not have: remove it, or name the directory"
        " itself with --cache-dir"
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def walk(directory: Directory) -> Iterator[Directory]:
    """The directories in one, in the order of their names."""
    for name in directory.names():
        status = directory.stat(name)
        if status is not None and stat.S_ISDIR(status.st_mode):
            yield directory.enter(name)
