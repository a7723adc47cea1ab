"""The one boundary where errors of the disk and of SQLite become CacheError."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from ossfs_resume.errors import CacheError


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Raise CacheError ``cannot <action>: <reason>`` for OSError and sqlite3.Error, cause kept."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise CacheError(f"cannot {action}: {error}") from error
