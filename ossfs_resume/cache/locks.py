"""Locks on bytes of a file, between processes and between descriptors of one process.

They belong to what ``open`` returned (OFD, fcntl(2)): the kernel drops them with the last copy of
the descriptor, however its process ends, and not when another descriptor of the file is closed. A
shared lock becomes an exclusive one in one step or stays what it is. (flock(2) gives the shared one
up first, so that of two who try at once one may get what both of them must be refused.)
"""

import fcntl
import os
import struct

_FLOCK = struct.Struct("@hhqqi4x")


def lock(
    descriptor: int, kind: int, start: int = 0, length: int = 0, *, is_patient: bool = False
) -> None:
    """Hold bytes as ``kind`` says (F_RDLCK, F_WRLCK, F_UNLCK), by default the whole file.

    Raises BlockingIOError if another's lock is in the way, or waits for it; OSError.
    """
    command = fcntl.F_OFD_SETLKW if is_patient else fcntl.F_OFD_SETLK
    fcntl.fcntl(descriptor, command, _FLOCK.pack(kind, os.SEEK_SET, start, length, 0))


def is_held_by_others(descriptor: int, start: int, length: int) -> bool:
    """Whether another has a lock on any of these bytes. Raises OSError."""
    wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
    answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, wanted)
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
