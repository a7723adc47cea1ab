"""Comparing the parts of an open entry with their CRC-64, and making absent what is bad.

A part that this process neither wrote nor checked is compared before its first use; once somebody
else changed the file, so is every part before its next.

So is a part that is not in the page cache, trusted or not: what comes from the disk is not what
this process wrote or checked but what the disk says that was (a thin volume, or one whose medium
shrank, gives zeros without an error). The kernel may have read its neighbours ahead from the same
disk, so all other parts of the entry are in doubt then. A file system that cannot say what is in
memory (no RWF_NOWAIT: tmpfs, some overlays) has every part compared at each reading.

Whoever compares serves the very bytes that he compared, so it does not matter what is removed or
doubted meanwhile, and readers of a disk that is slower than they are never wait for a moment in
which nothing is in doubt.

Bad, short and unreadable parts become absent, here even if the catalogue cannot be told: whoever
reads them there finds out as we did. A bad part ends the trust in all others (``trust``).
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from ossfs_resume.cache.backing import Backing
from ossfs_resume.cache.crc64 import checksum
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.progress import Progress
from ossfs_resume.cache.small_objects import Gone
from ossfs_resume.cache.trust import Trust
from ossfs_resume.errors import CacheError

_log = logging.getLogger(__name__)

NOWAIT_PARTS, NOWAIT_BYTES = 8, 4 << 20
"""How much is compared by whoever must not wait: half a millisecond."""


class Absent(CacheError):
    """Parts that were asked for are absent, or unchecked and in a hurry, perhaps since a moment
    ago."""


class Damaged(Absent):
    """Parts were not what had been stored; they are absent now."""

    def __init__(self, message: str, parts: Sequence[int]) -> None:
        super().__init__(message)
        self.parts = parts


class PartCheck:
    """Of one entry; thread-safe. Methods may block."""

    def __init__(
        self, version: ObjectVersion, progress: Progress, backing: Backing, trust: Trust
    ) -> None:
        self._version = version
        self._progress = progress
        self._backing = backing
        self._trust = trust

    def doubt_if_touched(self) -> bool:
        """Check every part before its next use if somebody else changed the file; whether he did.

        Memory and fstat only.
        """
        if self._backing.generation is None:
            return False
        try:
            was_touched = self._backing.file.was_touched()
        except OSError as error:
            self._trust.end(f"cannot look at the data file of {self._version.key!r}: {error}")
            return True
        if was_touched:
            _log.debug("somebody else changed the data file of %r", self._version.key)
            self._progress.doubt()
        return was_touched

    def read_nowait(self, offset: int, length: int) -> memoryview | None:
        """Exactly these bytes, of a few parts that are all in the page cache and were compared just
        now; None: ask `read`.

        They are good until this thread calls it the next time. Raises Absent.
        """
        geometry, progress = self._progress.geometry, self._progress
        parts = geometry.parts(offset, length)
        if len(parts) > min(NOWAIT_PARTS, NOWAIT_BYTES // geometry.part_size):
            raise Absent(f"parts {parts} of {self._version.key!r} are absent or unchecked")
        self.doubt_if_touched()
        epoch, crcs = progress.epoch, [progress.crc(part) for part in parts]
        if None in crcs:
            raise Absent(f"parts {parts} of {self._version.key!r} are absent")
        start, stop = geometry.bytes_of(parts.start, parts.stop)
        view = self._backing.file.read_nowait(start, stop - start)
        if view is None:
            return None
        size = geometry.part_size
        for place, (part, crc) in enumerate(zip(parts, crcs, strict=True)):
            if checksum([view[place * size : (place + 1) * size]]) != crc:
                raise Absent(f"part {part} of {self._version.key!r} is not what was stored")
        for part in parts:
            progress.checked(part, epoch)
        return view[offset - start : offset - start + length]

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes, of parts that were compared just now.

        Raises Absent, Damaged if parts were not what had been stored, CacheError.
        """
        geometry, pieces, bad = self._progress.geometry, [], []
        for part in geometry.parts(offset, length):
            data = self._compared(part)
            if data is None:
                bad.append(part)
            else:
                start = part * geometry.part_size
                pieces.append(bytes(data[max(offset - start, 0) : offset + length - start]))
        if bad:
            self._clear(bad, self._progress.forget)
            raise Damaged(f"parts {bad} of {self._version.key!r} are not what was stored", bad)
        return b"".join(pieces)

    def check(self, first: int, stop: int) -> list[int]:
        """Compare the unchecked parts of [first, stop) with their CRCs; the bad ones, in order."""
        self.doubt_if_touched()
        runs = self._progress.unchecked(first, stop)
        bad = [part for part in chain.from_iterable(runs) if not self._is_good(part)]
        return self._clear(bad, self._progress.forget) if bad else []

    def recheck(self) -> list[int]:
        """Read every present part from the disk again and compare it; the bad ones, in order."""
        if not self._progress.present_count:
            return []
        with self._trust.translated(f"read {self._version.key!r} again"):
            self._backing.file.forget_pages()
        self._progress.distrust()
        return self.check(0, self._progress.geometry.part_count)

    def lose(self, parts: Iterable[int]) -> list[int]:
        """Make parts absent that cannot be read back, and doubt all others; those absent now."""
        self._progress.doubt()
        return self._clear(list(parts), self._progress.lose)

    def _is_good(self, part: int) -> bool:
        """Whether a part is what its CRC says, or was taken away meanwhile."""
        try:
            return self._compared(part) is not None
        except Absent:
            return True
        except CacheError as error:
            _log.debug("%s", error)
            return False

    def _compared(self, part: int) -> bytes | memoryview | None:
        """The bytes of a part, which is trusted from now on; None if they are gone, or not what its
        CRC says. Raises Absent, CacheError."""
        self.doubt_if_touched()
        epoch, crc = self._progress.epoch, self._progress.crc(part)
        if crc is None:
            raise Absent(f"part {part} of {self._version.key!r} is absent")
        try:
            with self._trust.translated(f"read part {part} of {self._version.key!r}"):
                data, epoch = self._bytes(part, epoch)
        except Gone:
            return None
        if checksum([data]) != crc:
            self._trust.end(f"part {part} of {self._version.key!r} is not what was stored")
            return None
        self._progress.checked(part, epoch)
        return data

    def _bytes(self, part: int, epoch: int) -> tuple[bytes | memoryview, int]:
        """The bytes of a part and the epoch since when they are what can be read."""
        start, stop = self._progress.geometry.span(part)
        view = self._backing.file.read_nowait(start, stop - start)
        if view is not None:
            return view, epoch
        # Before, for those who find in memory what is read ahead for us; and after, for those
        # who looked at it meanwhile.
        epoch = self._progress.doubt(epoch)
        data = self._backing.file.read(start, stop - start)
        return data, self._progress.doubt(epoch)

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
        finally:
            self._progress.gone(cleared)
        return cleared
