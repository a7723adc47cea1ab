"""Fetching the whole of an object in the background, behind everybody who reads.

At most as many requests as may run at once are queued at a time: an object may have a million
parts, and what lies in the queue can neither be dropped cheaply nor make room for another job. A
disk that does not keep what arrives ends it: to fetch for nobody is worse than to fail.
"""

import trio

from ossfs_resume.errors import CacheError
from ossfs_resume.fetch import plan
from ossfs_resume.fetch.claiming import ClaimQueue
from ossfs_resume.fetch.disk import Disk
from ossfs_resume.fetch.download import Download, Transfer
from ossfs_resume.fetch.readiness import Readiness
from ossfs_resume.fetch.scheduler import Priority
from ossfs_resume.fetch.settings import FetchSettings


class Filler:
    """Fills downloads to their end."""

    def __init__(
        self, claims: ClaimQueue, readiness: Readiness, disk: Disk, settings: FetchSettings
    ) -> None:
        self._claims = claims
        self._readiness = readiness
        self._disk = disk
        self._settings = settings

    async def fill(self, download: Download) -> None:
        """Fetch all that is missing. Cancelled or failing, it ends the transfers that it asked for
        and that nobody else waits for."""
        mine: list[Transfer] = []
        try:
            await self._fill(download, mine)
        finally:
            self._claims.abandon(mine)

    async def _fill(self, download: Download, mine: list[Transfer]) -> None:
        entry = download.entry
        step = plan.parts_in(self._settings.request_bytes, entry.geometry.part_size)
        low, reach = 0, step * (self._settings.connections + 1)
        failures = self._disk.writing.failures
        if self._disk.writing.is_resting(trio.current_time()):
            raise CacheError(self._disk.error)
        while not entry.progress.is_complete:
            self._raise_if_hopeless(download, failures)
            # An object may have a million parts: look only at those that can be under way.
            missing = entry.missing(low, min(low + reach, entry.part_count))
            if not missing:
                low = low + reach if low + reach < entry.part_count else 0
                continue
            low = missing[0].start
            mine[:] = [transfer for transfer in mine if not transfer.done]
            free = max(self._settings.connections - len(mine), 1)
            mine += self._claims.claim(download, missing, step, Priority.BACKGROUND, at_most=free)
            await download.claims[low].moved.wait()

    def _raise_if_hopeless(self, download: Download, failures: int) -> None:
        """``failures`` is how many writes had failed when it began."""
        self._readiness.raise_if_hopeless(download, range(download.entry.part_count))
        if not download.entry.progress.is_open or self._disk.writing.failures != failures:
            raise CacheError(self._disk.error or "its cached data was discarded")
