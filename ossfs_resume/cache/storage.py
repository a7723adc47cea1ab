"""Where the bytes of an entry lie: in a data file, or, of a small object, in a row of a database.

A row of the catalogue says which: one without the suffix of a file name has its bytes in the row of
the same id in ``small_objects``. That is decided when an object is stored for the first time, so a
small object that an older program put into a file stays there until it is removed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ossfs_resume.cache.segment_files import Seen
from ossfs_resume.cache.small_objects import MOST_BYTES, Blob, Blobs


class Storage(Protocol):
    """What ``DataFile`` and ``Blob`` have in common; they say what it means. Methods block, except
    ``read_nowait``, ``takes`` and ``seen``, and raise OSError and CacheError."""

    @property
    def seen(self) -> Mapping[int, Seen]: ...

    def was_touched(self) -> bool: ...
    def hold(self) -> bool: ...
    def write(self, offset: int, chunks: Iterable[bytes | memoryview]) -> None: ...
    def read(self, offset: int, length: int) -> bytes: ...
    def read_nowait(self, offset: int, length: int) -> memoryview | None: ...
    def forget_pages(self) -> None: ...
    def data_runs(self, start: int, stop: int) -> Iterator[tuple[int, int]]: ...
    def allocated(self) -> int: ...
    def takes(self, size: int) -> int: ...
    def sync(self) -> None: ...
    def punch(self, offset: int, length: int) -> None: ...
    def lock_alone(self) -> bool: ...
    def share(self) -> None: ...
    def unlink(self, *, at_once: bool = False) -> None: ...
    def give_away(self, place: Path, prepare: Callable[[int], None]) -> None: ...
    def close(self) -> None: ...


class Storages:
    """Makes them. ``make_file`` makes the data file for a row id, a suffix and a size in bytes."""

    def __init__(self, blobs: Blobs, make_file: Callable[[int, str, int], Storage]) -> None:
        self.blobs = blobs
        self._make_file = make_file

    def of_row(self, row_id: int, suffix: str, size: int) -> Storage:
        """That of a row of the catalogue."""
        return self._make_file(row_id, suffix, size) if suffix else Blob(self.blobs, row_id, size)

    def bring(self, blobs: Sequence[Blob]) -> None:
        """Bring the bytes of many small objects into memory. Raises CacheError."""
        by_row = {blob.row_id: blob for blob in blobs if blob.row_id is not None}
        for row_id, data in self.blobs.load(list(by_row)).items() if by_row else ():
            by_row[row_id].bring(data)

    def new_blob(self, size: int, part_count: int) -> Blob | None:
        """For an object that is stored for the first time; None if it gets a file."""
        is_small = size <= MOST_BYTES and part_count == 1
        return Blob(self.blobs, None, size) if is_small and self.blobs.is_usable else None
