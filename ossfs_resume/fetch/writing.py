"""Whole parts of running transfers, from memory to the disk, and their waiters woken.

What may not change:

- The last part of a transfer is written only after the request has ended well, when the object's
  CRC-64 is known: the read that completes an object is answered after the proof.
- A part that the disk does not take is held in memory, never lost between disk and reader, and its
  CRC-64 is remembered: an object that only went by is proven all the same.
- New bytes, even of an object that was proven before, are proven before anybody gets the whole.
- Waiters are woken after the proof, not before.
"""

from collections.abc import Awaitable, Callable, Sequence

import trio

from ossfs_resume.cache.crc64 import checksum
from ossfs_resume.fetch.disk import Disk
from ossfs_resume.fetch.download import Download, Transfer
from ossfs_resume.fetch.loose import LooseParts


class PartWriter:
    """``on_written`` is awaited after parts were written and before their waiters are woken."""

    def __init__(
        self, disk: Disk, loose: LooseParts, on_written: Callable[[Download], Awaitable[None]]
    ) -> None:
        self._disk = disk
        self._loose = loose
        self._on_written = on_written

    async def write(self, transfer: Transfer, *, at_end: bool = False) -> None:
        """Write the whole parts at hand; the last one only ``at_end``, once the request is well.

        Raises CorruptObject if they completed the object and its proof failed.
        """
        download = transfer.download
        async with transfer.writing:
            # Cancelled now or not before the disk has them: what is taken gets written.
            await trio.lowlevel.checkpoint_if_cancelled()
            if not at_end and not transfer.is_short:
                return
            first, parts = transfer.batch.take()
            if not parts:
                return
            # Before the parts are there: whoever finds the object complete waits for the proof.
            download.proven = False
            is_kept = await self._disk.write(download, first, parts)
            self._hold(download, first, parts, is_kept=is_kept)
            await self._on_written(download)
        transfer.wake()

    def _hold(
        self,
        download: Download,
        first: int,
        parts: Sequence[Sequence[bytes]],
        *,
        is_kept: bool,
    ) -> None:
        """Hold in memory what the disk did not take, or will not give back."""
        for part, chunks in enumerate(parts, first):
            if not is_kept:
                download.passed[part] = checksum(chunks)
            if not is_kept or self._loose.is_demanded(download, part):
                self._loose.hold(download, part, b"".join(chunks))
            download.claims.pop(part, None)
