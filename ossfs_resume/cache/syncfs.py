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
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syncfs.argtypes = (ctypes.c_int,)


def syncfs(descriptor: int) -> None:
    """Wait for the whole file system of an open file. Raises OSError, EIO if anything was lost."""
    while _libc.syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))


class FolderSync:
    """The file system that ``folder`` is on; ``sync`` is ``syncfs``. Methods raise OSError."""

    def __init__(self, folder: Path, sync: Callable[[int], None]) -> None:
        self._folder = folder
        self._sync = sync
        self._descriptor = self._open()

    def reopen(self) -> None:
        """Another folder has taken the place of the old one."""
        descriptor = self._open()
        # The same number, for a sync may be about to use it.
        os.dup2(descriptor, self._descriptor, inheritable=False)
        os.close(descriptor)

    def sync(self) -> None:
        """Wait until all that was written there before is on the disk, names included."""
        self._sync(self._descriptor)

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._descriptor)

    def _open(self) -> int:
        return os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
