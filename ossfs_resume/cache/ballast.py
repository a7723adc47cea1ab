"""A mebibyte of the disk that is kept to be let go of.

On a disk that others have filled, the catalogue has no room to say what is to be removed, and then
nothing can be removed. So this file is dropped first, and made again when there is room. Nothing is
kept in the cache before it is there.
"""

import os
from collections.abc import Callable
from contextlib import suppress

from ossfs_resume.cache.directory import Directory
from ossfs_resume.errors import CacheError

BYTES = 1 << 20
NAME = "ballast"


class Ballast:
    """A file in the folder that ``current`` says."""

    def __init__(self, current: Callable[[], Directory]) -> None:
        self._current = current
        self._is_loaded = False

    def require(self) -> None:
        """Take the room, unless it is taken. Raises OSError (ENOSPC) or CacheError."""
        if self._is_loaded:
            return
        directory = self._current()
        status = directory.stat(NAME)
        if status is None or status.st_blocks * 512 < BYTES:
            self._load(directory)
        self._is_loaded = True

    def load(self) -> None:
        """The same, if there is room. Nothing raises: the disk is as full as without this class."""
        with suppress(OSError, CacheError):
            self.require()

    def drop(self) -> bool:
        """Give the room back; whether there was any."""
        self._is_loaded = False
        try:
            self._current().unlink(NAME, missing_ok=False)
        except (OSError, CacheError):
            return False
        return True

    @staticmethod
    def _load(directory: Directory) -> None:
        descriptor = directory.open(NAME, os.O_WRONLY | os.O_CREAT)
        try:
            os.posix_fallocate(descriptor, 0, BYTES)
        except OSError:
            directory.unlink(NAME)
            raise
        finally:
            os.close(descriptor)
