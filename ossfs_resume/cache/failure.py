"""The one boundary where errors of the disk and of SQLite become CacheError."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from ossfs_resume.errors import CacheError, DiskFull
from ossfs_resume.wording import reason

_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_FAILING = (
    errno.EIO, errno.ENXIO, errno.ENODEV, errno.EREMOTEIO,
    errno.EUCLEAN, errno.EBADMSG,  # file systems say so of broken metadata
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


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Raise CacheError ``cannot <action>: <reason>`` for OSError and sqlite3.Error, cause kept;
    DiskFull, FailingDisk or DamagedCatalog if that is the reason."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise _kind(error)(f"cannot {action}: {reason(error)}") from error


def is_damage(error: BaseException) -> bool:
    """Whether SQLite says that its file is no database or a broken one."""
    # Errors of the module itself carry no code.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE


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
