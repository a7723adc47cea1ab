"""Removing parts of an entry that is in use, to make room; whole entries go in ``removal``.

Parts are cleared in memory, then durably in the catalogue, and only then punched, so that neither
a reader nor a crash takes a hole for bytes. Whoever wants to write a part that is on its way out
waits until it is gone, or its new bytes would be punched. Nothing is removed from a file that
another process uses too.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from ossfs_resume.cache.backing import Backing
from ossfs_resume.cache.progress import Progress


class PartRemoval:
    """Of one entry; thread-safe."""

    def __init__(self, progress: Progress, backing: Backing) -> None:
        self._progress = progress
        self._backing = backing
        self._changed = threading.Condition()
        self._leaving: frozenset[int] = frozenset()

    def wait_for(self, parts: range) -> None:
        """Wait until none of these parts is on its way out."""
        with self._changed:
            self._changed.wait_for(lambda: self._leaving.isdisjoint(parts))

    def remove(self, size: int, keep: int, *, ahead: bool) -> int:
        """Remove about ``size`` bytes of parts that were read, except the ``keep`` latest parts;
        how many bytes the disk got back. With ``ahead`` also parts that nobody has read.

        Raises CacheError or OSError.
        """
        geometry, file = self._progress.geometry, self._backing.file
        if not file.lock_alone():
            return 0
        try:
            return self._remove(partial(self._take, -(-size // geometry.part_size), keep, ahead))
        finally:
            file.share()

    def _remove(self, take: Callable[[], list[int]]) -> int:
        part_size = self._progress.geometry.part_size
        try:
            parts = self._backing.remove_parts(take)
            for run in _runs(parts):
                # Whole parts, for half a block at the end of the file would stay.
                self._backing.file.punch(run.start * part_size, len(run) * part_size)
        finally:
            with self._changed:
                self._leaving = frozenset()
                self._changed.notify_all()
        self._backing.tell_allocated()
        return len(parts) * part_size

    def _take(self, count: int, keep: int, ahead: bool) -> list[int]:
        with self._changed:
            taken = self._progress.take(count, keep, ahead=ahead)
            self._leaving = frozenset(taken)
        return taken


def _runs(parts: Iterable[int]) -> Iterator[range]:
    """Rising part numbers as maximal runs."""
    run = range(0)
    for part in parts:
        if run and part == run.stop:
            run = range(run.start, part + 1)
        else:
            if run:
                yield run
            run = range(part, part + 1)
    if run:
        yield run
