"""What is known about an entry's parts, shared between its users and the committer.

An entry is *open*, *superseded* (another process discarded it: what is present can still be read
through the open descriptor, nothing can be added) or *discarded* (by this process: nothing is
present any more). It never goes back; a new ``CacheStore.acquire`` gives an entry of another row.

Everything here is memory behind one lock, which is never held while waiting for a disk or for the
catalogue. Nothing raises, except ``require_open`` and what calls it; nothing blocks, except
``begin_writing``.

What may not be overtaken
-------------------------

A part becomes absent in three places, one after the other: here, in the catalogue, in the file.
Meanwhile, other tasks of this process have old news of it in their hands: a row that was read
before the commit, bytes that were read before the punch. If one of them could report after the
part has left, a hole would be served as a trusted part. So

- a part is *leaving* from the moment it is taken until its row and bytes are gone. It is absent, is
  not adopted, and whoever wants to write it waits; a part that is being written is not taken.
- every report names the ``epoch`` from before its row or bytes were read, and counts for nothing if
  that has moved. ``removals`` moves when parts begin to leave and when they are gone; ``epoch``
  moves with it, and whenever there is doubt about the bytes.

======================  ==============================  ==========================================
parts become absent by  held from taking to the end     leaving until; who may still have news
======================  ==============================  ==========================================
eviction of parts       the file, alone; the entry, so  punched. Another process opens the file
(``PartRemoval``)       that nobody closes it           after the punch, and compares
eviction of entries     the file, alone; the version,   unlinked. Nobody here has the entry; it is
(``Removal.evict``)     so that nobody acquires it      discarded before it can be had again
discard                 ``CacheStore._opening``         for ever: a discarded entry takes nothing
(``Entry.discard``)                                     up. Others keep their descriptor, and bytes
bad and unreadable      the catalogue's writer          cleared in the catalogue; the bytes stay.
parts (``PartCheck``)                                   Refused afterwards too (``found bad``)
repair by another       nothing: it cleared rows only   at once: everything is doubted, and what
process (``Repairs``)                                   its check finds bad leaves as above
renewal                 ``CacheStore._opening``         never: a superseded entry takes nothing
(``Renewal``)                                           up and reads through its descriptor
======================  ==============================  ==========================================

======================  ==========================================================================
parts become present by  why that cannot overtake a removal
======================  ==========================================================================
``wrote``               was announced (``begin_writing``) before its bytes went to the file
``adopt``               refused for leaving parts, and if ``removals`` moved since the row was read
loading                 under ``_opening``; the row is read again once the file is held
======================  ==========================================================================

======================  ==========================================================================
parts are trusted by    why that cannot overtake a removal, or the end of trust
======================  ==========================================================================
``wrote``               if the epoch moved since the writing began it is present and unchecked
``checked``             refused if the epoch moved since the bytes were read
``trust``               refused if the epoch moved since it was recalled, which is done once only
======================  ==========================================================================
"""

import enum
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType

from ossfs_resume.cache.geometry import Geometry
from ossfs_resume.cache.ledger import PartLedger
from ossfs_resume.cache.models import EntryChanges, EntryRow, StoredPart, StoredParts
from ossfs_resume.errors import CacheError

LATEST_PARTS = 64
"""How many of the parts read last are known."""
_NONE: Mapping[int, int] = MappingProxyType({})


class _State(enum.Enum):
    OPEN = "open"
    SUPERSEDED = "superseded"
    DISCARDED = "discarded"


class Progress:
    """State, parts and proof of one entry; thread-safe."""

    def __init__(
        self, geometry: Geometry, row: EntryRow | None = None, stored: StoredParts | None = None
    ) -> None:
        self.geometry = geometry
        self.crc64 = row.crc64 if row else None
        self.is_verified = row.is_verified if row else False
        """Whether the object is complete and was proven against the origin's CRC-64."""
        self._ledger = PartLedger(geometry, stored)
        self._state = _State.OPEN
        self._is_syncing = False
        self._used_at = _now_ms()
        self._is_read = False
        self._is_acquired = True
        self._latest: deque[int] = deque(maxlen=LATEST_PARTS)
        self._has_copies = False
        self.removals = 0
        """Rises when parts begin to leave and when they are gone."""
        self.epoch = 0
        """Rises with ``removals`` and with every doubt: what was read meanwhile is worthless."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    # --- for the entry's users ---

    @property
    def is_open(self) -> bool:
        """Whether parts can still be added; if not, acquiring the version gives another entry."""
        return self._state is _State.OPEN

    @property
    def present_count(self) -> int:
        """Number of present parts."""
        return self._ledger.present_count

    @property
    def present_bytes(self) -> int:
        """Number of present bytes."""
        with self._lock:
            return self._ledger.present_bytes

    @property
    def is_complete(self) -> bool:
        """Whether every part is present."""
        return self._ledger.present_count == self.geometry.part_count

    def require_open(self) -> None:
        """Raise CacheError if nothing can be added any more."""
        if not self.is_open:
            raise CacheError(f"the cache entry was {self._state.value}")

    def missing(self, first: int, stop: int) -> list[range]:
        """Maximal runs of absent parts."""
        with self._lock:
            return self._ledger.missing(first, stop)

    def trusts(self, first: int, stop: int) -> bool:
        """Whether all of the parts may be read. One memchr, which needs no lock."""
        return self._ledger.trusts(first, stop)

    def unchecked(self, first: int, stop: int) -> list[range]:
        """Runs of parts that are present but neither written nor checked by this process."""
        with self._lock:
            return self._ledger.unchecked(first, stop)

    def crc(self, part: int) -> int | None:
        """The stored CRC-64 of a part; None if it is absent."""
        with self._lock:
            return None if self._ledger.missing(part, part + 1) else self._ledger.crc(part)

    def crcs(self, passed: Mapping[int, int] = _NONE) -> Sequence[int] | None:
        """The CRC-64 of every part, of absent ones from ``passed``, or None if one is in neither.

        Counted first, for this is asked after each write.
        """
        with self._lock:
            if self.is_complete:
                return self._ledger.crcs()
            if self._ledger.present_count + len(passed) < self.geometry.part_count:
                return None
            absent = chain.from_iterable(self._ledger.missing(0, self.geometry.part_count))
            crcs = list(self._ledger.crcs())
        for part in absent:
            if part not in passed:
                return None
            crcs[part] = passed[part]
        return crcs

    def begin_writing(self, parts: range) -> int:
        """None of these parts leaves until `end_writing`; the epoch to say ``wrote`` with.

        Waits until those that are leaving are gone.
        """
        with self._lock:
            while self._ledger.is_leaving(parts):
                self._changed.wait()
            self._ledger.begin_writing(parts)
            return self.epoch

    def end_writing(self, parts: range) -> None:
        """They were written, or not."""
        with self._lock:
            self._ledger.end_writing(parts)

    def wrote(self, first: int, crcs: Sequence[int], epoch: int) -> None:
        """The bytes of these parts are in the file. Raises CacheError, and marks nothing, if they
        are in a file that no longer counts."""
        with self._lock:
            self.require_open()
            self._ledger.wrote(first, crcs, is_trusted=epoch == self.epoch)

    def adopt(self, stored: Iterable[StoredPart], crc64: int | None, removals: int) -> None:
        """The catalogue has these parts by now; another process stored them.

        ``removals`` is from before it was asked.
        """
        with self._lock:
            if self.is_open and removals == self.removals:
                for part in stored:
                    self._ledger.adopt(part)
            if self.crc64 is None:
                self.crc64 = crc64

    def checked(self, part: int, epoch: int) -> None:
        """The bytes of a part are what its CRC says; ``epoch`` is from before they were read."""
        with self._lock:
            if epoch == self.epoch:
                self._ledger.checked(part)

    def trusted(self) -> bytes:
        """The trusted parts, packed, of a settled entry."""
        with self._lock:
            return self._ledger.trusted()

    def trust(self, trusted: bytes, epoch: int) -> None:
        """Present parts that this process trusted before it closed the entry; ``epoch`` is from
        before that was recalled."""
        with self._lock:
            if epoch == self.epoch:
                self._ledger.trust(trusted)

    def use(self) -> None:
        """Somebody begins, or ends, to use it."""
        self._used_at = _now_ms()

    def was_read(self, offset: int, length: int) -> bool:
        """Somebody read these bytes; whether he was the first."""
        with self._lock:
            part = offset // self.geometry.part_size
            if not self._latest or self._latest[-1] != part:
                self._latest.append(part)
            self._ledger.was_read(offset, length)
            is_first, self._is_read, self._has_copies = not self._is_read, True, True
            return is_first

    def forget_copies(self) -> bool:
        """Whether anything was read since this was last asked: somebody may have a copy."""
        had_copies, self._has_copies = self._has_copies, False
        return had_copies

    @property
    def has_read(self) -> bool:
        """Whether somebody read of it in this process."""
        return self._is_read

    def take(self, count: int, keep: int, *, ahead: bool) -> list[int]:
        """Let up to ``count`` parts leave whose bytes are going to be removed, and return them,
        rising: parts that were read, except the ``keep`` latest; with ``ahead`` also others."""
        with self._lock:
            if not self.is_open:
                return []
            latest = frozenset(list(self._latest)[-keep:])
            return self._left(self._ledger.take(count, latest, ahead=ahead))

    def gone(self, parts: Iterable[int]) -> None:
        """What was said by ``take``, ``forget`` or ``lose`` to leave is gone from where it was."""
        with self._changed:
            self._ledger.gone(parts)
            self._moved()
            self._changed.notify_all()

    def doubt(self, since: int | None = None) -> int:
        """Let every part be checked again before its next use; the epoch that begins with that.

        With ``since`` an epoch that is over at once if anything else has moved since that one.
        """
        with self._lock:
            is_alone = since in (None, self.epoch)
            self._ledger.distrust_all()
            self.epoch += 1
            return self.epoch if is_alone else -1

    def distrust(self) -> None:
        """The same, and the object counts as proven no more."""
        self.doubt()
        self.is_verified = False

    def forget(self, parts: Iterable[int]) -> list[int]:
        """Let parts leave whose bytes are not what their CRC says; those that do so now."""
        with self._lock:
            return self._left(self._ledger.forget(parts))

    def lose(self, parts: Iterable[int]) -> list[int]:
        """Let parts leave that cannot be read, trusted or not; those that do so now."""
        parts = list(parts)
        with self._lock:
            self._ledger.distrust(parts)
            return self._left(self._ledger.forget(parts))

    def proved(self, *, is_good: bool) -> None:
        """The CRCs of all parts combine, or not, to that of the object."""
        with self._lock:
            self.is_verified = is_good and self.is_complete

    def supersede(self) -> None:
        """Another process removed the row."""
        with self._lock:
            if self.is_open:
                self._state = _State.SUPERSEDED
            self._ledger.settle()

    def discard(self) -> bool:
        """Forget everything; False if that was done before."""
        with self._lock:
            was_discarded = self._state is _State.DISCARDED
            self._state = _State.DISCARDED
            self._moved()
            self.is_verified = False
            self._ledger.forget_all()
            return not was_discarded

    @property
    def is_superseded(self) -> bool:
        """Whether another process removed the row, and perhaps not all of the file."""
        return self._state is _State.SUPERSEDED

    def _left(self, parts: list[int]) -> list[int]:
        if parts:
            self._moved()
            self.is_verified = False
        return parts

    def _moved(self) -> None:
        self.removals += 1
        self.epoch += 1

    # --- for the committer ---

    @property
    def uncommitted_bytes(self) -> int:
        """About how many bytes the catalogue does not know yet."""
        return self._ledger.uncommitted_count * self.geometry.part_size

    @property
    def unsynced_bytes(self) -> int:
        """About how many bytes a power cut may cost."""
        return self._ledger.unsynced_count * self.geometry.part_size

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to commit or to sync, and no sync is using the file."""
        with self._lock:
            unsettled = self._ledger.uncommitted_count + self._ledger.unsynced_count
            return not (unsettled or self._is_syncing)

    def take_changes(self) -> EntryChanges:
        """What to commit. Call inside the transaction, so that changes commit in their order."""
        with self._lock:
            runs = self._ledger.take_uncommitted()
            is_acquired, self._is_acquired = self._is_acquired, False
            return EntryChanges(
                runs, self.crc64, self.is_verified, self._used_at, self._is_read, is_acquired
            )

    def commit_failed(self, changes: EntryChanges) -> None:
        """The transaction was rolled back; take them again the next time."""
        with self._lock:
            self._ledger.commit_failed(changes.runs)
            self._is_acquired |= changes.is_acquired

    def begin_sync(self) -> bool:
        """An fdatasync begins now; False if there is nothing for it to do."""
        with self._lock:
            self._is_syncing = self.is_open and self._ledger.begin_sync()
            return self._is_syncing

    def leave_file(self) -> None:
        """The fdatasync has returned; the file may be closed."""
        with self._lock:
            self._is_syncing = False

    def syncing(self) -> list[range]:
        """What the fdatasync made safe, less what was written again since it began."""
        with self._lock:
            return self._ledger.syncing()

    def sync_ended(self, *, is_committed: bool) -> None:
        """Whether the catalogue knows now what is synced."""
        with self._lock:
            if is_committed:
                self._ledger.end_sync()
            else:
                self._ledger.sync_failed()

    def __repr__(self) -> str:
        return f"<Progress {self._state.value} {self.present_count}/{self.geometry.part_count}>"


def _now_ms() -> int:
    return int(time.time() * 1000)
