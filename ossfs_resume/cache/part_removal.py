"""Removing parts of an entry that is in use, to make room; whole entries go in ``removal``.

Parts are taken in memory, cleared durably in the catalogue, and only then punched, so that neither
a reader nor a crash takes a hole for bytes; ``Progress`` says why nobody can overtake that. Nothing
is removed from a file that another process uses too, and the file is locked from before the taking
until after the punch, or another process could adopt from the catalogue what is about to go.
"""

import threading
from collections.abc import Iterable, Iterator

from ossfs_resume.cache.backing import Backing
from ossfs_resume.cache.progress import Progress


class PartRemoval:
    """Of one entry; thread-safe."""

    def __init__(self, progress: Progress, backing: Backing) -> None:
        self._progress = progress
        self._backing = backing
        # The second would give up the lock on the file under the first.
        self._one_at_a_time = threading.Lock()

    def remove(self, size: int, keep: int, *, ahead: bool) -> int:
        """Remove about ``size`` bytes of parts that were read, except the ``keep`` latest parts;
        how many bytes the disk got back. With ``ahead`` also parts that nobody has read.

        Raises CacheError or OSError.
        """
        count = -(-size // self._progress.geometry.part_size)
        with self._one_at_a_time:
            if not self._backing.file.lock_alone():
                return 0
            try:
                return self._remove(count, keep, ahead)
            finally:
                self._backing.file.share()

    def _remove(self, count: int, keep: int, ahead: bool) -> int:
        part_size = self._progress.geometry.part_size
        taken: list[int] = []

        def take() -> list[int]:
            taken.extend(self._progress.take(count, keep, ahead=ahead))
            return taken

        try:
            parts = self._backing.remove_parts(take)
            for run in _runs(parts):
                # Whole parts, for half a block at the end of the file would stay.
                self._backing.file.punch(run.start * part_size, len(run) * part_size)
        finally:
            if taken:
                self._progress.gone(taken)
        self._backing.tell_allocated()
        return len(parts) * part_size


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
