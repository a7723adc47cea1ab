"""A mebibyte of the disk that is kept to be let go of.

On a disk that others have filled, the catalogue has no room to say what is to be removed, and then
nothing can be removed. So this file is dropped first, and made again when there is room.
"""

import os
from contextlib import suppress
from pathlib import Path

from ossfs_resume.cache.folder import open_private

BYTES = 1 << 20


class Ballast:
    """The file ``path``. Nothing raises: without it the disk is as full as without this class."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> None:
        """Take the room, unless it is taken or there is none."""
        with suppress(OSError):
            if self._path.exists():
                return
            descriptor = open_private(self._path, os.O_WRONLY | os.O_CREAT)
            try:
                os.posix_fallocate(descriptor, 0, BYTES)
            except OSError:
                self._path.unlink()
            finally:
                os.close(descriptor)

    def drop(self) -> bool:
        """Give the room back; whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
