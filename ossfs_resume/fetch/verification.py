"""Compare a complete object with the origin's CRC-64, once, and discard what is wrong."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

import trio

from ossfs_resume.cache.entry import Entry
from ossfs_resume.errors import CacheError, CorruptObject
from ossfs_resume.fetch.disk import Disk
from ossfs_resume.fetch.download import Download

log = logging.getLogger(__name__)

PROOFS_AT_ONCE = 2
"""They only compute."""

FEW_PARTS = 256
"""To combine the checksums of so many takes less than to have it done by another thread."""


class Discarder(Protocol):
    """What the proof needs of the cache; it blocks."""

    def discard(self, entry: Entry) -> None:
        """Forget everything that is cached of this version."""


class Prover:
    """``on_discarded`` is called, from the event loop, with each download that was discarded."""

    def __init__(
        self, store: Discarder, disk: Disk, on_discarded: Callable[[Download], None]
    ) -> None:
        self._store = store
        self._disk = disk
        self._on_discarded = on_discarded
        # Of its own: others share the usual one with calls that a sick disk holds up.
        self._proofs = trio.CapacityLimiter(PROOFS_AT_ONCE)

    async def prove(self, download: Download) -> None:
        """Do nothing unless the object is complete and not proven yet.

        On an ill disk parts may go by that are not kept. Once each part is kept or has gone by,
        the same comparison is made, so that whoever read the object from end to end is told.
        An object without a CRC-64 at the origin counts as proven: there is nothing to compare.
        Raises CorruptObject on a mismatch; the next open starts afresh.
        """
        if not _is_due(download):
            return
        async with download.proof:
            if not _is_due(download):
                return
            is_complete = download.entry.progress.is_complete
            if not isinstance(download.stale, CorruptObject):
                passed = {} if is_complete else dict(download.passed)
                if download.entry.part_count <= FEW_PARTS:
                    proof = download.entry.prove(passed)
                else:
                    proof = await trio.to_thread.run_sync(
                        download.entry.prove, passed, limiter=self._proofs
                    )
                if proof is not False:
                    download.proven = is_complete
                    if proof:
                        download.passed.clear()
                    return
                await self._discard(download)
        raise (download.stale or CorruptObject(download.meta.key)).with_traceback(None)

    async def _discard(self, download: Download) -> None:
        key = download.meta.key
        download.stale = CorruptObject(f"{key}: its CRC-64 is not the origin's; discarded")
        log.error("%s", download.stale)
        try:
            await self._disk.discard(download, partial(self._store.discard, download.entry))
        except CacheError as error:
            # It stays unproven: the next one to open it comes here again.
            log.error("%s: cannot discard it: %s", key, error)
        finally:
            self._on_discarded(download)


def _is_due(download: Download) -> bool:
    """Whether there is something to compare that was not compared yet; asked after each write."""
    return not download.proven and (download.entry.progress.is_complete or _has_gone_by(download))


def _has_gone_by(download: Download) -> bool:
    """Whether each part may be kept or have gone by. Counted, for this is asked after each write
    and an object may have a million parts."""
    entry = download.entry
    return bool(download.passed) and (
        entry.progress.present_count + len(download.passed) >= entry.part_count
    )
