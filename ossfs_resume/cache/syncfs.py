"""Waiting until everything on a file system is on its disk, in one call.

For files that are too many to be synced and kept open one by one. ``syncfs`` reports, since Linux
5.8, an error of the kernel's write-back to whoever had a descriptor of the file system open when it
happened, once; it does not say of which file. So the descriptor is opened before anything is
written, and an error is everybody's.
"""

import ctypes
import errno
import os
from collections.abc import Callable
from contextlib import suppress

from ossfs_resume.cache.directory import Directory
from ossfs_resume.errors import CacheError

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syncfs.argtypes = (ctypes.c_int,)


def syncfs(descriptor: int) -> None:
    """Wait for the whole file system of an open file. Raises OSError, EIO if anything was lost."""
    while _libc.syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))


class FolderSync:
    """The file system of the folder that ``current`` says; ``sync`` is ``syncfs``.

    Methods raise OSError and CacheError.
    """

    def __init__(self, current: Callable[[], Directory], sync: Callable[[int], None]) -> None:
        self._current = current
        self._sync = sync
        self._directory: Directory | None = None
        self.reopen()

    def reopen(self) -> None:
        """Another folder has taken the place of the old one, or can be opened by now."""
        with suppress(CacheError):
            # Before anything is written: who opens it later hears of no error.
            self._directory = self._current()

    def sync(self) -> None:
        """Wait until all that was written there before is on the disk, names included."""
        directory = self._directory or self._current()
        self._sync(directory.descriptor)
