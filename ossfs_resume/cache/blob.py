"""A small object as its entry sees it: its bytes in memory, and from the first commit on in a row.

It is what a data file is to a larger object (``storage``). What was written is served from memory
at once, and is committed with its row in the catalogue, many in one transaction (``committer``).
The bytes stay in memory as long as somebody uses the entry: he goes on with them, even if another
process evicts the object meanwhile.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from ossfs_resume.cache.blobs import Blobs, allocated
from ossfs_resume.cache.foreign import Seen
from ossfs_resume.errors import CacheError

_NONE: Mapping[int, Seen] = MappingProxyType({})


class Gone(CacheError):
    """The bytes of a small object are not in their row: evicted, or lost in a power cut. That says
    nothing of the disk."""


class Blob:
    """The bytes of one entry. ``row_id`` is None before the first commit.

    Thread-safe as far as a data file is: one part is written by one thread at a time.
    """

    def __init__(self, blobs: Blobs, row_id: int | None, size: int) -> None:
        self._blobs = blobs
        self.row_id = row_id
        self._size = size
        self._data: bytes | None = None
        self._unstored: bytes | None = None

    @property
    def unstored(self) -> bytes | None:
        """What was written and is not in its row yet."""
        return self._unstored

    def stored(self, data: bytes) -> None:
        """These are in the row now."""
        if self._unstored is data:
            self._unstored = None
            self._blobs.settle(len(data))

    def write(self, offset: int, chunks: Iterable[bytes | memoryview]) -> None:
        """Take all of the object. Raises CacheError if too much waits for a commit."""
        data = b"".join(chunks)
        assert offset == 0
        assert len(data) == self._size
        self._blobs.reserve(len(data))
        if (former := self._unstored) is not None:
            self._blobs.settle(len(former))
        self._data = self._unstored = data

    def hold(self) -> bool:
        """Bring the bytes into memory; whether they are there. Raises CacheError."""
        if self._data is None and self.row_id is not None:
            for found in self._blobs.load([self.row_id]).values():
                self.bring(found)
        return self._data is not None

    def bring(self, data: bytes) -> None:
        """This is what the row has; unless something was written meanwhile. Memory only."""
        if self._data is None:
            self._data = data

    def read(self, offset: int, length: int) -> bytes:
        """These bytes, fewer if the row is shorter. Raises Gone, CacheError."""
        if not self.hold() or (data := self._data) is None:
            raise Gone(f"the bytes of a small object, row {self.row_id}, are not there")
        return data[offset : offset + length]

    def read_nowait(self, offset: int, length: int) -> memoryview | None:
        """The same if they are in memory."""
        data = self._data
        if data is None or len(data) < offset + length:
            return None
        return memoryview(data)[offset : offset + length]

    def forget_pages(self) -> None:
        """Let what is read next come from the row."""
        if self._unstored is None:
            self._data = None

    @property
    def seen(self) -> Mapping[int, Seen]:
        """Nothing: there is no file that somebody could touch."""
        return _NONE

    def was_touched(self) -> bool:
        """Never: there is no file."""
        return False

    def data_runs(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """What there is of these bytes. Raises CacheError."""
        if self._exists():
            yield 0, self._size

    def allocated(self) -> int:
        """What the row takes of the disk, or will take. Raises CacheError."""
        is_there = self._unstored is not None or self._exists()
        return allocated(self._size) if is_there else 0

    @staticmethod
    def takes(size: int) -> int:
        """What a row of so many bytes takes of the disk."""
        return allocated(size)

    def _exists(self) -> bool:
        return self.row_id is not None and bool(
            self._blobs.ids(range(self.row_id, self.row_id + 1))
        )

    def lock_alone(self) -> bool:
        """Whoever else uses the object has its bytes in memory."""
        return True

    def share(self) -> None:
        """There was nothing to lock."""

    def unlink(self, *, at_once: bool = False) -> None:
        """Remove the row. Raises CacheError."""
        if self.row_id is not None:
            self._blobs.delete([self.row_id])

    def punch(self, offset: int, length: int) -> None:
        """Remove all bytes. Raises CacheError."""
        self.unlink()

    def give_away(self, place: Path, prepare: Callable[[int], None]) -> None:
        """Never: there is no file. Raises ValueError."""
        raise ValueError("a small object has no file that could be given away")

    def sync(self) -> None:
        """All small objects are synced together (``committer``)."""

    def close(self) -> None:
        """Let go of the bytes."""
        if (unstored := self._unstored) is not None:
            self.stored(unstored)
        self._data = None
