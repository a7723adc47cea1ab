"""Giving the catalogue to another process that wants it, and having it alone again afterwards; and
so the database of the small objects, always after it.

A process that is alone with the catalogue locks everybody else out (``opening`` says why). Who
comes registers as an owner, under the folder's lock, and waits. The one that is alone looks for
others several times a second, finishes what it is doing, merges the log, and goes on with a
rollback journal. When it has been alone for a while, long enough for a row of commands on the cache
to be over, it takes the catalogue for itself again, under the folder's lock.

===========================================  ====================================================
killed                                        what the next one finds
===========================================  ====================================================
while alone                                  WAL with a log: replayed by whoever comes, alone
while the log is merged                      the same, or a rollback journal that is hot
between the modes                            a rollback journal that is empty: opened as it is
while others wait                            an owner whose lock is gone: nobody waits for it
while it takes the catalogue again           either mode, and no lock
===========================================  ====================================================

One that is stopped, or hangs in its disk, does not let go. Who comes gives up after five seconds,
goes on without the cache, and tries again.
"""

import time
from collections.abc import Callable, Sequence

from ossfs_resume.cache.database import Database
from ossfs_resume.cache.folder import StoreFolder

LOOK_INTERVAL_S = 0.2
ALONE_S = 3.0
"""How long to have been alone before the catalogue is taken again."""


class Sharing:
    """``look`` does what is needed at this moment."""

    def __init__(
        self,
        folder: StoreFolder,
        databases: Sequence[Database],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._databases = databases
        self._clock = clock
        self._company_at = clock()

    def look(self) -> None:
        """Share with who has come, or take the catalogue of those who have gone.

        Raises OSError or CacheError; the next look tries again.
        """
        opened = [one for one in self._databases if one.is_open]
        if not opened or self._folder.is_read_only:
            return
        if self._folder.other_owners():
            self._company_at = self._clock()
            for one in opened:
                one.share()
        elif self._clock() - self._company_at >= ALONE_S:
            self._take([one for one in opened if not one.is_alone])

    def _take(self, shared: Sequence[Database]) -> None:
        if shared:
            with self._folder.opening():
                if not self._folder.other_owners():
                    for one in shared:
                        one.reopen()
