"""What this process knows about each part of an entry: pure memory, no lock, no file.

A part is ::

    absent ---- wrote ----> present, trusted
    present, unchecked ---- checked ----> present, trusted
    present ---- take, forget ----> leaving ---- gone ----> absent

A part is *leaving* until its row and its bytes are gone: absent for everybody who asks, and closed
to whoever has older news of it (``adopt``). One that is being written is never taken meanwhile.

Beside that, a part is *uncommitted* until the catalogue knows it, and *unsynced* until an fdatasync
that began after its write has succeeded. ``begin_sync`` moves the unsynced parts to *syncing*; a
part that is written again meanwhile goes back to unsynced, because that fdatasync may have missed
the new bytes.

Objects of one part are never unsynced here: an fdatasync for each would cost too much, and an open
descriptor until then. The committer syncs them all together (``Committer.sync``).
"""

import struct
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import chain, islice

from ossfs_resume.cache.bitmap import PartBitmap
from ossfs_resume.cache.geometry import Geometry
from ossfs_resume.cache.models import CRC_BYTES, PartRun, StoredPart, StoredParts


class PartLedger:
    """Bitmaps and CRCs of one entry. Not thread-safe, except ``trusts`` and the counts."""

    def __init__(self, geometry: Geometry, stored: StoredParts | None = None) -> None:
        count = geometry.part_count
        self._geometry = geometry
        self._tracks_sync = count > 1
        self._found_bad: set[int] = set()
        self._leaving: set[int] = set()
        self._being_written: list[range] = []
        self._trusted = PartBitmap(count)
        self._uncommitted = PartBitmap(count)
        self._syncing = PartBitmap(count)
        self._unsynced = PartBitmap(count)
        self._read = PartBitmap(count)
        if stored is None:
            self._present = PartBitmap(count)
            self._crcs = bytearray(count * CRC_BYTES)
        else:
            self._present = PartBitmap.from_bytes(count, stored.written)
            self._crcs = bytearray(stored.crcs)
            self._unsynced.update(self._stored_unsynced(stored))

    @property
    def present_count(self) -> int:
        """Number of present parts."""
        return self._present.count

    @property
    def present_bytes(self) -> int:
        """Number of present bytes."""
        last = self._geometry.part_count - 1
        with_last = last >= 0 and self._present.test(last)
        return self._geometry.bytes_in(self._present.count, with_last=with_last)

    @property
    def uncommitted_count(self) -> int:
        """Number of parts that the catalogue does not know yet."""
        return self._uncommitted.count

    @property
    def unsynced_count(self) -> int:
        """Number of parts that a power cut may cost."""
        return self._unsynced.count + self._syncing.count

    def missing(self, first: int, stop: int) -> list[range]:
        """Maximal runs of absent parts."""
        return self._present.missing(first, stop)

    def trusts(self, first: int, stop: int) -> bool:
        """Whether all of the parts are present and trusted; atomic."""
        return self._trusted.has_all(first, stop)

    def unchecked(self, first: int, stop: int) -> list[range]:
        """Runs of present parts that are not trusted."""
        return [
            run
            for distrusted in self._trusted.missing(first, stop)
            for run in self._present.present(distrusted.start, distrusted.stop)
        ]

    def crc(self, part: int) -> int:
        """The stored CRC-64 of a present part."""
        return int.from_bytes(self._crcs[part * CRC_BYTES : (part + 1) * CRC_BYTES], "little")

    def crcs(self) -> tuple[int, ...]:
        """The stored CRC-64 of every part; without meaning for an absent one."""
        return struct.unpack(f"<{self._geometry.part_count}Q", self._crcs)

    def is_leaving(self, parts: range) -> bool:
        """Whether any of the parts is on its way out."""
        return not self._leaving.isdisjoint(parts)

    def begin_writing(self, parts: range) -> None:
        """Parts that are not leaving are about to be written: none of them may leave now."""
        self._being_written.append(parts)

    def end_writing(self, parts: range) -> None:
        """They were written, or not."""
        self._being_written.remove(parts)

    def wrote(self, first: int, crcs: Sequence[int], *, is_trusted: bool = True) -> None:
        """Parts from ``first`` on are in the file now."""
        stop = first + len(crcs)
        if self._found_bad:
            self._found_bad.difference_update(range(first, stop))
        struct.pack_into(f"<{len(crcs)}Q", self._crcs, first * CRC_BYTES, *crcs)
        self._uncommitted.set_run(first, stop)
        if self._tracks_sync:
            self._unsynced.set_run(first, stop)
            if self._syncing.count:
                self._syncing.clear_run(first, stop)
        self._present.set_run(first, stop)
        if is_trusted:
            self._trusted.set_run(first, stop)

    def adopt(self, stored: StoredPart) -> None:
        """Another process stored a part. It also syncs it.

        Not one that is leaving, nor one that was found bad here: perhaps the catalogue cannot be
        told.
        """
        part = stored.number
        if not (self._present.test(part) or part in self._leaving or part in self._found_bad):
            self._crcs[part * CRC_BYTES : (part + 1) * CRC_BYTES] = stored.crc.to_bytes(
                CRC_BYTES, "little"
            )
            self._present.set(part)

    def checked(self, part: int) -> None:
        """The bytes of an unchecked part are what its CRC says."""
        if self._present.test(part):
            self._trusted.set(part)

    def trusted(self) -> bytes:
        """The trusted parts, packed; none if a write-back error could still touch them."""
        return self._trusted.to_bytes() if self._tracks_sync else b""

    def trust(self, trusted: bytes) -> None:
        """This process has seen these parts before; those that are present need no check."""
        seen = PartBitmap.from_bytes(len(self._present), trusted)
        for run in seen.present(0, len(seen)):
            self._trusted.update(self._present.present(run.start, run.stop))

    def was_read(self, offset: int, length: int) -> None:
        """Somebody read these bytes; a part counts when its last byte was among them."""
        stop = offset + length
        size = self._geometry.part_size
        last = self._geometry.part_count if stop >= self._geometry.size else stop // size
        self._read.set_run(offset // size, max(last, offset // size))

    def take(self, count: int, keep: Container[int], *, ahead: bool) -> list[int]:
        """Let up to ``count`` parts leave that are not to be kept, and return them, rising.

        Parts that were read, the lowest first; with ``ahead``, then the highest others.
        """
        read = self._removable(self._read, keep)
        taken = list(islice((part for part in read if self._present.test(part)), count))
        self._drop(taken)
        if ahead and len(taken) < count:
            others = list(self._removable(self._present, keep))[len(taken) - count :]
            self._drop(others)
            taken = sorted(taken + others)
        return taken

    def gone(self, parts: Iterable[int]) -> None:
        """The row and the bytes of parts that were leaving are gone, or stay for good."""
        self._leaving.difference_update(parts)

    def distrust_all(self) -> None:
        """Let every part be checked again before its next use."""
        self._trusted.clear_run(0, len(self._trusted))

    def forget(self, parts: Iterable[int]) -> list[int]:
        """Let those of the parts leave that are still unchecked, and return them."""
        forgotten = [
            part
            for part in parts
            if self._present.test(part)
            and not self._trusted.test(part)
            and not self._is_being_written(part)
        ]
        self._found_bad.update(forgotten)
        self._drop(forgotten)
        return forgotten

    def distrust(self, parts: Iterable[int]) -> None:
        """What was written or checked here cannot be read any more."""
        for part in parts:
            self._trusted.clear(part)
            self._uncommitted.clear(part)

    def settle(self) -> None:
        """Nothing is left to commit or sync."""
        for bitmap in (self._uncommitted, self._unsynced, self._syncing):
            bitmap.clear_run(0, len(bitmap))

    def forget_all(self) -> None:
        """Make every part absent, with nothing left to commit or sync."""
        for bitmap in self._all():
            bitmap.clear_run(0, len(bitmap))

    def take_uncommitted(self) -> list[PartRun]:
        """The parts to commit; they count as committed from now on."""
        runs = self._uncommitted.present(0, len(self._uncommitted))
        self._uncommitted.clear_run(0, len(self._uncommitted))
        return [PartRun(run.start, self._crc_bytes(run)) for run in runs]

    def commit_failed(self, runs: Iterable[PartRun]) -> None:
        """Undo ``take_uncommitted``, less what became absent since."""
        for run in runs:
            self._uncommitted.update(self._present.present(run.first, run.parts.stop))

    def begin_sync(self) -> bool:
        """An fdatasync begins now; False if there is nothing for it to do."""
        self._syncing.update(self._unsynced.present(0, len(self._unsynced)))
        self._unsynced.clear_run(0, len(self._unsynced))
        return self._syncing.count > 0

    def syncing(self) -> list[range]:
        """The parts that the fdatasync since ``begin_sync`` has covered."""
        return self._syncing.present(0, len(self._syncing))

    def end_sync(self) -> None:
        """The catalogue knows that they are synced."""
        self._syncing.clear_run(0, len(self._syncing))

    def sync_failed(self) -> None:
        """The catalogue could not be told; they stay to be synced."""
        self._unsynced.update(self.syncing())
        self.end_sync()

    def _drop(self, parts: Iterable[int]) -> None:
        self._leaving.update(parts)
        for part in parts:
            for bitmap in self._all():
                bitmap.clear(part)

    def _removable(self, parts: PartBitmap, keep: Container[int]) -> Iterator[int]:
        for part in self._numbers(parts):
            if part not in keep and not self._is_being_written(part):
                yield part

    def _is_being_written(self, part: int) -> bool:
        return any(part in parts for parts in self._being_written)

    def _all(self) -> tuple[PartBitmap, ...]:
        return (
            self._trusted, self._present, self._uncommitted, self._unsynced, self._syncing,
            self._read,
        )  # fmt: skip

    @staticmethod
    def _numbers(parts: PartBitmap) -> Iterator[int]:
        return chain.from_iterable(parts.present(0, len(parts)))

    def _crc_bytes(self, run: range) -> bytes:
        return bytes(self._crcs[run.start * CRC_BYTES : run.stop * CRC_BYTES])

    def _stored_unsynced(self, stored: StoredParts) -> list[range]:
        if not self._tracks_sync:
            return []
        synced = PartBitmap.from_bytes(len(self._present), stored.synced)
        return [
            run
            for unsynced in synced.missing(0, len(synced))
            for run in self._present.present(unsynced.start, unsynced.stop)
        ]
