"""Queueing what a reader will need next, together with what it needs now.

How far ahead is decided in `readahead`; here it is asked for, less what is there or under way.
"""

from collections.abc import Callable

from ossfs_resume.fetch import readahead, scheduler
from ossfs_resume.fetch.disk import Disk
from ossfs_resume.fetch.download import Download
from ossfs_resume.fetch.in_flight import ClaimQueue
from ossfs_resume.fetch.readahead import MIB, AccessPattern
from ossfs_resume.fetch.reader import Readiness
from ossfs_resume.fetch.scheduler import Priority
from ossfs_resume.fetch.settings import FetchSettings

ILL_READ_AHEAD_BYTES = 4 * MIB
"""While the disk is ill, read-ahead lives in memory: what is fetched must be what is read."""


class Prefetcher:
    """Reads ahead of readers; ``readers`` says how many files are open."""

    def __init__(
        self,
        claims: ClaimQueue,
        readiness: Readiness,
        disk: Disk,
        settings: FetchSettings,
        readers: Callable[[], int],
    ) -> None:
        self._readers = readers
        self._claims = claims
        self._readiness = readiness
        self._disk = disk
        self._settings = settings

    def reads(
        self,
        download: Download,
        pattern: AccessPattern,
        offset: int,
        length: int,
        run_bytes: int,
        *,
        is_here: bool,
    ) -> None:
        """Somebody reads ``[offset, offset + length)``, in a run of so many bytes; ``is_here`` if
        he can have them at once."""
        entry, part_size = download.entry, download.entry.geometry.part_size
        first, stop, limit = offset // part_size, offset + length, self._settings.read_ahead_bytes
        window = min(readahead.window(run_bytes, limit), self._limit(download)) if run_bytes else 0
        if entry.progress.is_complete or (is_here and not window):
            return
        step = readahead.request_bytes(window, self._settings.request_bytes)
        round_up = not readahead.is_careful(run_bytes)
        target = readahead.target(stop, window, step, download.meta.size, round_up=round_up)
        if not is_here and first not in download.claims and entry.missing(first, first + 1):
            pattern.planned = 0  # what was planned has failed or was given up
        if target <= pattern.planned or download.failures or download.stale is not None:
            return
        parts = readahead.parts_between(pattern.planned, target, first, part_size)
        pattern.planned = target
        self._claims.claim(
            download,
            self._readiness.missing(download, parts),
            scheduler.parts_in(step, part_size),
            Priority.READ_AHEAD,
        )

    def _limit(self, download: Download) -> int:
        settings = self._settings
        limit = readahead.share(settings.read_ahead_bytes, settings.room_bytes, self._readers())
        if self._disk.is_failing or not download.entry.progress.is_open:
            return min(limit, ILL_READ_AHEAD_BYTES)
        return limit
