"""One object version in the cache: what is there, reading it, adding to it, proving it.

Bytes are in the file before a part is marked (``part_writing``), and are checked before a part is
trusted (``part_check``). Reads give bytes of parts that are trusted and in memory, and of others
after a comparison; none that was removed meanwhile (``part_removal``). Whether an entry can still
be added to, and why no removal can be overtaken, is told in ``progress``.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from ossfs_resume.cache.backing import Backing, Superseded
from ossfs_resume.cache.crc64 import combine_parts
from ossfs_resume.cache.models import (
    EntryChanges,
    EntryRow,
    EntrySummary,
    Generation,
    ObjectVersion,
)
from ossfs_resume.cache.part_check import Absent, Damaged, PartCheck
from ossfs_resume.cache.part_removal import PartRemoval
from ossfs_resume.cache.part_writing import Parts, PartWriting, Room
from ossfs_resume.cache.progress import Progress
from ossfs_resume.cache.segment_files import Seen
from ossfs_resume.cache.small_objects import Blob
from ossfs_resume.cache.transaction import Transaction
from ossfs_resume.cache.trust import Trust
from ossfs_resume.errors import CacheError

Announce = Callable[["Entry", int], None]
"""Told of every change that wants to be committed, and how many bytes were written; then it may
wait until the catalogue keeps up."""


__all__ = ["Absent", "Announce", "Damaged", "Entry"]


class Entry:
    """One version of an object. Made by ``CacheStore.acquire``; every method is thread-safe."""

    def __init__(
        self,
        version: ObjectVersion,
        progress: Progress,
        backing: Backing,
        trust: Trust,
        announce: Announce,
        room: Room = lambda size: nullcontext(),
    ) -> None:
        self.version = version
        self.geometry = progress.geometry
        self.progress = progress
        """What is known of its parts, and whether more can be added."""
        self._backing = backing
        self._announce = announce
        self._trust = trust
        self._check = PartCheck(version, progress, backing, trust)
        self._removal = PartRemoval(progress, backing)
        self._writing = PartWriting(version, progress, backing, trust, room)

    # --- memory only: any thread, no waiting ---

    @property
    def part_count(self) -> int:
        """Number of parts of the object."""
        return self.geometry.part_count

    @property
    def summary(self) -> EntrySummary:
        """What is there, as a value."""
        return EntrySummary(
            self.version,
            self.geometry.part_size,
            self.part_count,
            self.progress.present_count,
            self.progress.present_bytes,
            self.progress.is_verified,
        )

    @property
    def generation(self) -> Generation | None:
        """What changes of the catalogue are made for; None if there is nothing to change."""
        return self._backing.generation if self.progress.is_open else None

    @property
    def stock(self) -> Generation | None:
        """Which of the stocks of this version that the cache ever had it is; None before the first
        part is written. What another process does to it changes nothing here."""
        return self._backing.generation

    @property
    def seen(self) -> Mapping[int, Seen]:
        """How its file looked when this process opened it or last wrote to it."""
        return self._backing.file.seen if self.stock is not None else {}

    @property
    def uncounted_bytes(self) -> int:
        """What takes room on the disk, or is going to, and is not in the catalogue yet."""
        size = min(self.progress.uncommitted_bytes, self.progress.present_bytes)
        return self._backing.file.takes(size) if size else 0

    def stands_on(self, row: EntryRow | None) -> bool:
        """Whether what was loaded is still what the catalogue has; None if it has nothing."""
        return self._backing.stands_on(row)

    def missing(self, first: int, stop: int) -> list[range]:
        """Maximal runs of absent parts in [first, stop), in order."""
        return self.progress.missing(first, stop)

    def unchecked(self, first: int, stop: int) -> bool:
        """Whether any part of [first, stop) is present but neither written nor checked here."""
        return not self.progress.trusts(first, stop) and bool(self.progress.unchecked(first, stop))

    def expect_crc64(self, crc64: int) -> None:
        """What the origin says is the CRC-64/XZ of the whole object."""
        if crc64 != self.progress.crc64:
            self.progress.crc64 = crc64
            self._announce(self, 0)

    def read_nowait(self, offset: int, length: int) -> bytes | memoryview | None:
        """Exactly ``length`` bytes from the page cache, or None: ask ``read``.

        They are good until this thread calls it the next time, for whatever entry. A few parts that
        are unchecked as yet are read as a whole and compared here: that takes less than to have it
        done by another thread.

        Raises Absent if a touched part is absent, or one of many unchecked, or not what was stored;
        CacheError if the range is not inside the object.
        """
        progress, parts = self.progress, self._parts(offset, length)
        epoch = progress.epoch
        if not length:
            return b""
        if progress.trusts(parts.start, parts.stop):
            data = self._backing.file.read_nowait(offset, length)
            if data is None:
                return None
            if self._check.doubt_if_touched():
                raise Absent(f"the data file of {self.version.key!r} was changed")
            if progress.epoch != epoch:
                raise Absent(f"parts of {self.version.key!r} were removed or doubted meanwhile")
        else:
            data = self._check.read_nowait(offset, length)
        if data is not None and progress.was_read(offset, length):
            self._announce(self, 0)
        return data

    # --- blocking ---

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes; whole parts are read and compared with their CRC for them.

        Raises Absent if a touched part is absent, Damaged if one is so from now on because its
        bytes were not what had been stored, CacheError if the range is not inside the object or
        the disk does not give them.
        """
        self._parts(offset, length)
        data = self._check.read(offset, length) if length else b""
        if data and self.progress.was_read(offset, length):
            self._announce(self, 0)
        return data

    def check(self, first: int, stop: int) -> list[int]:
        """Compare the unchecked parts of [first, stop) with their CRCs.

        Good ones are trusted from now on; bad, short and unreadable ones become absent and are
        returned, in order.
        """
        return self._check.check(first, stop)

    def refresh(self, parts: range) -> None:
        """Take note of parts that other processes have stored; unchecked as yet.

        Raises CacheError if the catalogue cannot be read.
        """
        removals = self.progress.removals
        try:
            found = self._backing.stored(parts)
        except Superseded:
            self.progress.supersede()
            return
        if found is not None:
            row, stored = found
            self.progress.adopt(stored, row.crc64, removals)

    def lose(self, parts: Iterable[int]) -> list[int]:
        """Make parts absent that cannot be read back, and check all others before their next use;
        those that are absent now."""
        return self._check.lose(parts)

    def write_parts(self, first: int, parts: Parts) -> None:
        """Store whole consecutive parts from ``first`` on, each given as its chunks.

        Raises CacheError if they could not be stored; nothing is marked then. Raises ValueError if
        a part has not the length that it must have, IndexError if there is no such part.
        """
        self._announce(self, self._writing.write(first, parts))

    def prove(self, passed: Mapping[int, int] = MappingProxyType({})) -> bool | None:
        """Whether the parts combine to the expected CRC-64; None if that cannot be said yet.

        ``passed`` are the CRC-64 of parts that went by and were not stored. True is persisted with
        the next commit. What to do about False is the caller's decision.
        An object of 2^20 parts takes most of a second.
        """
        expected, crcs = self.progress.crc64, self.progress.crcs(passed)
        if expected is None or crcs is None:
            return None
        found = combine_parts(crcs, self.geometry.part_size, self.geometry.last_part_bytes)
        self.progress.proved(is_good=found == expected)
        if found == expected and not passed:
            self._announce(self, 0)
        return found == expected

    def recheck(self) -> list[int]:
        """Read every present part from the disk again and compare it with its CRC.

        Bad parts become absent and are returned. Readers wait for parts that are not yet checked.
        """
        return self._check.recheck()

    # --- for the store and the committer ---

    def hold(self) -> bool:
        """Open the file, if there is one, so that no other process removes it, or bring the bytes
        of a small object into memory; False if these are gone."""
        if not self.progress.present_count:
            return True
        with self._trust.translated(f"open the data of {self.version.key!r}"):
            return self._backing.file.hold()

    def lock_alone(self) -> bool:
        """Whether nobody else uses the file; nobody can from now on until ``share``."""
        return self.generation is not None and self._backing.file.lock_alone()

    def share(self) -> None:
        """Let others use the file again."""
        if self._backing.generation is not None:
            self._backing.file.share()

    @property
    def is_blob(self) -> bool:
        """Whether it is a small object, whose bytes are committed with everything else."""
        return self._backing.is_blob

    @property
    def blob(self) -> Blob | None:
        """The bytes of a small object that are to be brought into memory."""
        return self._backing.blob if self.progress.present_count else None

    @property
    def unstored(self) -> bytes | None:
        """The bytes of a small object that wait for a commit."""
        return self._backing.unstored

    def begin_commit(self, transaction: Transaction) -> Generation | None:
        """What its changes are made for in this transaction; None if there is nothing to change, or
        it was superseded."""
        if not self.progress.is_open:
            return None
        try:
            return self._backing.begin_commit(transaction)
        except Superseded:
            self.progress.supersede()
            return None

    def undo_commit(self, former: Generation | None, changes: EntryChanges) -> None:
        """The transaction failed, before which ``former`` was its generation."""
        self.progress.commit_failed(changes)
        self._backing.undo_commit(former)

    def stored(self, data: bytes) -> None:
        """These bytes of a small object are in their row."""
        self._backing.stored_bytes(data)

    def take_changes(self, *, is_synced: bool) -> EntryChanges:
        """What to commit; call inside the transaction."""
        changes = self.progress.take_changes()
        # A file system may need more for its own map of the file once it writes the bytes.
        is_larger = changes.runs or is_synced
        return replace(changes, allocated=self._allocated()) if is_larger else changes

    def remove_parts(self, size: int, keep: int, *, ahead: bool = False) -> int:
        """Remove about ``size`` bytes of parts that were read, except the ``keep`` latest parts;
        how many bytes the disk got back.

        With ``ahead``, parts that nobody has read yet go as well, those furthest ahead first.

        Nothing is removed from a file that another process uses too, and of objects of one part.
        Raises CacheError.
        """
        if self.generation is None or self.part_count == 1 or not self.progress.has_read:
            return 0
        with self._trust.translated(f"remove parts of {self.version.key!r}"):
            return self._removal.remove(size, keep, ahead=ahead)

    def sync_file(self) -> bool:
        """Wait for the disk; ``progress.syncing()`` are the parts that are safe afterwards.

        False if there was nothing to sync. Raises CacheError if anything may be lost.
        """
        if not self.progress.begin_sync():
            return False
        try:
            with self._trust.translated(f"sync {self.version.key!r}"):
                self._backing.file.sync()
        finally:
            self.progress.leave_file()
        return True

    def discard(self) -> None:
        """Forget every part, clear the row, unlink the file. Does nothing the second time."""
        if self.progress.discard():
            with self._trust.translated(f"remove the data of {self.version.key!r}"):
                self._backing.discard()

    def give_away(self, place: Path, prepare: Callable[[int], None]) -> None:
        """Let the file of a complete object go to ``place`` (``DataFile.give_away``), and forget
        it. Nobody else may use it. Raises CacheError, and OSError of ``prepare`` and the rename."""
        if not self.progress.is_complete or not self.lock_alone():
            raise CacheError(f"{self.version.key!r} is incomplete or in use")
        self._backing.file.give_away(place, prepare)
        with suppress(CacheError):  # of a full disk: what is claimed is found absent when checked
            self.discard()

    def unlink(self, *, at_once: bool) -> None:
        """Remove the file of a discarded entry, which is locked (``SegmentFiles.unlink``). Raises
        OSError."""
        self._backing.file.unlink(at_once=at_once)

    def close(self) -> None:
        """Close the file. No other call may be under way."""
        with self._trust.translated(f"close the data of {self.version.key!r}"):
            self._backing.close(unlink=self.progress.is_superseded)

    def __repr__(self) -> str:
        return f"<Entry {self.version.key!r} {self.stock!r} {self.progress!r}>"

    def _allocated(self) -> int | None:
        try:
            return self._backing.file.allocated()
        except OSError:
            return None

    def _parts(self, offset: int, length: int) -> range:
        """The parts that these bytes touch. Raises CacheError."""
        if offset < 0 or length < 0 or offset + length > self.version.size:
            raise CacheError(f"{length} bytes at {offset} are not inside {self.version.key!r}")
        return self.geometry.parts(offset, length)
