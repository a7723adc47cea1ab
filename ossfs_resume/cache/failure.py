"""The one boundary where errors of the disk and of SQLite become CacheError."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from ossfs_resume.errors import CacheError, DiskFull


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Raise CacheError ``cannot <action>: <reason>`` for OSError and sqlite3.Error, cause kept;
    DiskFull if that is the reason."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        kind = DiskFull if _is_full(error) else CacheError
        raise kind(f"cannot {action}: {error}") from error


def _is_full(error: OSError | sqlite3.Error) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    # Errors of the module itself carry no code.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
