"""The one boundary where errors of the disk and of SQLite become CacheError."""

import errno
import sqlite3
from types import TracebackType

from ossfs_resume.errors import CacheError, DiskFull
from ossfs_resume.wording import reason

_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_FAILING = (
    errno.EIO, errno.ENXIO, errno.ENODEV, errno.EREMOTEIO,
    errno.EUCLEAN, errno.EBADMSG,  # file systems say so of broken metadata
)  # fmt: skip
_PASSING = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EPERM,  # the last of what is immutable
    errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.ESTALE, errno.ETIMEDOUT,
)  # fmt: skip
_OTHER_IOERR = (
    sqlite3.SQLITE_IOERR_NOMEM,
    sqlite3.SQLITE_IOERR_SHMSIZE,  # of a full disk
)


class FailingDisk(CacheError):
    """The disk does not give what it was given: what it says of anything else is open to doubt.

    Not one that is full, read-only or busy, nor a process without memory or descriptors.
    """


class DamagedCatalog(FailingDisk):
    """The catalogue's file is no database or a broken one."""


class NoRoomToKeep(DiskFull):
    """The disk has no room for bytes that are to be kept; what is reserved for removals is not for
    them."""


class LockedOut(CacheError):
    """Another process has the catalogue for itself and does not let go of it."""


class translated:
    """Raise CacheError ``cannot <action>: <reason>`` for OSError and sqlite3.Error, cause kept;
    DiskFull, FailingDisk or DamagedCatalog if that is the reason.

    No generator: it is on the way of every write, and costs a third of one so.
    """

    __slots__ = ("_action",)

    def __init__(self, action: str) -> None:
        self._action = action

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError | sqlite3.Error):
            raise _kind(error)(f"cannot {self._action}: {reason(error)}") from error


def is_damage(error: BaseException) -> bool:
    """Whether SQLite says that its file is no database or a broken one."""
    # Errors of the module itself carry no code.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE


def is_locked(error: BaseException) -> bool:
    """Whether SQLite says that another process is in the way."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def may_pass(error: BaseException | None) -> bool:
    """Whether it is the trouble of a disk, or of another process, that may be over later; what the
    user did wrong (a place that may not be used, or is not ours) does not pass."""
    while isinstance(error, CacheError) and not isinstance(error, LockedOut):
        error = error.__cause__
    if isinstance(error, OSError):
        return error.errno in (*_FAILING, *_PASSING)
    return isinstance(error, (LockedOut, sqlite3.OperationalError)) and not is_damage(error)


def is_full(error: BaseException | None) -> bool:
    """Whether it may be for want of room; SQLite says of a log that it cannot create only that it
    cannot open it."""
    while isinstance(error, CacheError) and not isinstance(error, DiskFull):
        error = error.__cause__
    if isinstance(error, OSError | sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return _is_full(error) or code == sqlite3.SQLITE_CANTOPEN
    return isinstance(error, DiskFull)


def _kind(error: OSError | sqlite3.Error) -> type[CacheError]:
    if is_damage(error):
        return DamagedCatalog
    if _is_failing(error):
        return FailingDisk
    return DiskFull if _is_full(error) else CacheError


def _is_failing(error: OSError | sqlite3.Error) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FAILING
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF == sqlite3.SQLITE_IOERR and code not in _OTHER_IOERR


def _is_full(error: OSError | sqlite3.Error) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
