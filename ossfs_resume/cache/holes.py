"""Holes in sparse files: making them, and finding out what is between them.

``SEEK_DATA`` and ``SEEK_HOLE`` are those of lseek(2): a file system may call a hole data, never
data a hole. So bytes that lie in a hole are certainly absent.
"""

import ctypes
import errno
import os
from collections.abc import Iterator

_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02  # linux/falloc.h

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def punch(descriptor: int, offset: int, length: int) -> None:
    """Give the space of these bytes back to the disk; the file keeps its size.

    Raises OSError, EOPNOTSUPP where the file system has no such call.
    """
    while _libc.fallocate(descriptor, _KEEP_SIZE | _PUNCH_HOLE, offset, length) != 0:
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))


def data_runs(descriptor: int, first: int, end: int) -> Iterator[tuple[int, int]]:
    """The ranges [start, stop) of a file that are not holes, from ``first`` on; those at and after
    ``end`` may be left out."""
    stop = first
    while stop < end:
        try:
            start = os.lseek(descriptor, stop, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole from here on
                return
            raise
        stop = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, stop
