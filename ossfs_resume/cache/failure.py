"""The one boundary where errors of the disk and of SQLite become CacheError."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from ossfs_resume.errors import CacheError, DiskFull
from ossfs_resume.wording import reason

_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class DamagedCatalog(CacheError):
    """The catalogue's file is no database or a broken one."""


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Raise CacheError ``cannot <action>: <reason>`` for OSError and sqlite3.Error, cause kept;
    DiskFull or DamagedCatalog if that is the reason."""
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
    return DiskFull if _is_full(error) else CacheError


def _is_full(error: OSError | sqlite3.Error) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
