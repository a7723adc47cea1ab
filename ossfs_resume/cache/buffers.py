"""Buffers for system calls that may take or give less than they were asked for.

``pwritev`` takes at most 1024 buffers and may stop anywhere inside one; ``pread`` may stop before
the end of the file. Nothing here copies bytes that are about to be written.
"""

import os
import threading
from collections.abc import Sequence

_IOV_MAX = 1024


class _Scratch(threading.local):
    """A buffer for each thread: a fresh one of 1 MiB costs ten times the copy in page faults."""

    def __init__(self) -> None:
        self.buffer = bytearray()


_scratch = _Scratch()


def scratch(length: int) -> memoryview:
    """So many bytes to read into, the same ones each time a thread asks."""
    if len(_scratch.buffer) < length:
        _scratch.buffer = bytearray(length)
    return memoryview(_scratch.buffer)[:length]


def read_fully(descriptor: int, length: int, position: int) -> bytes:
    """Exactly ``length`` bytes at ``position``; fewer only at the end of the file."""
    data = os.pread(descriptor, length, position)
    while len(data) < length:
        more = os.pread(descriptor, length - len(data), position + len(data))
        if not more:
            break
        data += more
    return data


def front(views: Sequence[memoryview], room: int) -> list[memoryview]:
    """As many of ``views`` as one call may take and ``room`` bytes hold, the last one cut."""
    batch = []
    for view in views[:_IOV_MAX]:
        if room <= 0:
            break
        batch.append(view[:room])
        room -= len(view)
    return batch


def without_front(views: Sequence[memoryview], count: int) -> list[memoryview]:
    """``views`` less their first ``count`` bytes."""
    for index, view in enumerate(views):
        if count < len(view):
            return [view[count:], *views[index + 1 :]]
        count -= len(view)
    return []
