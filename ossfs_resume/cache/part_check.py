"""Comparing the parts of an open entry with their CRC-64, and making absent what is bad.

A part that this process neither wrote nor checked is compared before its first use; once somebody
else changed the file, so is every part before its next. Bad, short and unreadable parts become
absent, here even if the catalogue cannot be told: whoever reads them there finds out as we did.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from ossfs_resume.cache.backing import Backing
from ossfs_resume.cache.crc64 import checksum
from ossfs_resume.cache.failure import translated
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.progress import Progress
from ossfs_resume.errors import CacheError

_log = logging.getLogger(__name__)


class PartCheck:
    """Of one entry; thread-safe. Methods may block."""

    def __init__(self, version: ObjectVersion, progress: Progress, backing: Backing) -> None:
        self._version = version
        self._progress = progress
        self._backing = backing

    def doubt_if_touched(self) -> bool:
        """Check every part before its next use if somebody else changed the file; whether he did.

        Memory and fstat only.
        """
        is_backed = self._backing.generation is not None
        was_touched = is_backed and self._backing.file.was_touched()
        if was_touched:
            _log.debug("somebody else changed the data file of %r", self._version.key)
            self._progress.doubt()
        return was_touched

    def check(self, first: int, stop: int) -> list[int]:
        """Compare the unchecked parts of [first, stop) with their CRCs; the bad ones, in order."""
        self.doubt_if_touched()
        runs = self._progress.unchecked(first, stop)
        bad = [part for part in chain.from_iterable(runs) if not self._check_part(part)]
        return self._clear(bad, self._progress.forget) if bad else []

    def recheck(self) -> list[int]:
        """Read every present part from the disk again and compare it; the bad ones, in order."""
        if not self._progress.present_count:
            return []
        with translated(f"read {self._version.key!r} again"):
            self._backing.file.forget_pages()
        self._progress.distrust()
        return self.check(0, self._progress.geometry.part_count)

    def lose(self, parts: Iterable[int]) -> list[int]:
        """Make parts absent that cannot be read back, and doubt all others; those absent now."""
        self._progress.doubt()
        return self._clear(list(parts), self._progress.lose)

    def _check_part(self, part: int) -> bool:
        """Compare one part with its CRC and trust it if it is good."""
        start, stop = self._progress.geometry.span(part)
        try:
            data = self._backing.file.read(start, stop - start)
        except OSError as error:
            _log.debug("cannot read part %d of %r: %s", part, self._version.key, error)
            return False
        is_good = len(data) == stop - start and checksum([data]) == self._progress.crc(part)
        if is_good:
            self._progress.checked(part)
        return is_good

    def _clear(
        self, bad: Sequence[int], make_absent: Callable[[Iterable[int]], list[int]]
    ) -> list[int]:
        """Make ``bad`` parts absent, in the catalogue too if it can be changed."""
        cleared: list[int] = []

        def forget(parts: Iterable[int]) -> None:
            cleared.extend(make_absent(parts))

        try:
            self._backing.clear_parts(bad, forget)
        except CacheError as error:
            # The catalogue goes on claiming them; whoever reads them next finds out as we did.
            _log.debug("cannot clear bad parts of %r: %s", self._version.key, error)
            forget(bad)
        return cleared
