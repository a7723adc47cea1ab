"""Sparse data files: bytes at offsets, nothing more.

A file is a row of segments of at most 1 TiB (ext4 with 4 KiB blocks ends at 16 TiB, and smaller
files are easier to copy, check and remove). A segment is created by the first write into it and
never grows beyond what was written; absent parts are holes.

The files themselves, who has them open and whether somebody else has changed them is the business
of ``segment_files``. ``close`` must not run beside other calls; all other methods may run at once.
They raise OSError; translation is the business of the caller.

They lie at ``<row & 0xff>/<row>-<suffix>.<segment>``. Spread over 256 folders by row, so that none
of them gets long. Stores that exist are found by these names; they may not change.
"""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ossfs_resume.cache import holes
from ossfs_resume.cache.buffers import front, read_fully, scratch, without_front
from ossfs_resume.cache.directory import Directory, walk
from ossfs_resume.cache.segment_files import SegmentFiles
from ossfs_resume.cache.syncfs import syncfs


class FoundFile(NamedTuple):
    """A data file: row id and suffix as its name tells them, its directory, and its name there."""

    row_id: int
    suffix: str
    directory: Directory
    name: str


class DataFolder:
    """The folder with all data files; ``current`` says which it is by now, or raises CacheError."""

    def __init__(self, current: Callable[[], Directory]) -> None:
        self.current = current
        self.supports_nowait = True
        """False once the file system refused RWF_NOWAIT (tmpfs, overlayfs before Linux 6.x)."""

    def listing(self) -> Iterator[list[FoundFile]]:
        """Every data file, one list for each folder.

        Names that no data file can have are left out. Raises OSError, CacheError.
        """
        for folder in walk(self.current()):
            yield [found for name in folder.names() if (found := _parsed(folder, name))]


def folder_name(row_id: int) -> str:
    """The folder in which the data file of a row lies."""
    return f"{row_id & 0xFF:02x}"


def _parsed(directory: Directory, name: str) -> FoundFile | None:
    stem, _, segment = name.partition(".")
    row_id, _, suffix = stem.partition("-")
    if row_id.isdecimal() and suffix and segment.isdecimal():
        return FoundFile(int(row_id), suffix, directory, name)
    return None


SEGMENT_BYTES = 1 << 40


class DataFile(SegmentFiles):
    """The bytes of one row, ``<row id>-<suffix>.<segment>``."""

    segment_bytes = SEGMENT_BYTES

    def __init__(self, folder: DataFolder, row_id: int, suffix: str, size: int) -> None:
        count = -(-size // self.segment_bytes)
        super().__init__(folder.current(), folder_name(row_id), f"{row_id}-{suffix}", count)
        self._place = folder

    def write(self, offset: int, chunks: Iterable[bytes | memoryview]) -> None:
        """Write all ``chunks`` one after the other from ``offset`` on.

        Raises FileNotFoundError if the file was removed.
        """
        views = [memoryview(chunk) for chunk in chunks if chunk]
        while views:
            segment, position = divmod(offset, self.segment_bytes)
            batch = front(views, self.segment_bytes - position)
            descriptor = self._begin_change(segment)
            try:
                written = os.pwritev(descriptor, batch, position)
            finally:
                self._end_change(segment, descriptor)
            if not written:
                raise OSError(errno.EIO, "nothing could be written", self._name)
            offset += written
            views = without_front(views, written)

    def read(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``offset``; fewer only at the end of a segment's file."""
        segment, position = divmod(offset, self.segment_bytes)
        here = min(length, self.segment_bytes - position)
        data = read_fully(self._descriptor(segment), here, position)
        if len(data) == here < length:
            return data + self.read(offset + here, length - here)
        return data

    def read_nowait(self, offset: int, length: int) -> memoryview | None:
        """Exactly ``length`` bytes if all are in the page cache, otherwise None; also if the file
        has yet to be opened, since another process may have it for itself.

        They are good until this thread calls it the next time, for whatever file.
        """
        segment, position = divmod(offset, self.segment_bytes)
        descriptor = self._descriptors.get(segment)
        if descriptor is None or position + length > self.segment_bytes:
            return None
        if not self._place.supports_nowait:
            return None
        view = scratch(length)
        try:
            count = os.preadv(descriptor, [view], position, os.RWF_NOWAIT)
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                self._place.supports_nowait = False
            return None
        return view if count == length else None

    def punch(self, offset: int, length: int) -> None:
        """Give the space of these bytes back; needs ``lock_alone``."""
        stop = offset + length
        while offset < stop:
            segment, position = divmod(offset, self.segment_bytes)
            here = min(stop - offset, self.segment_bytes - position)
            descriptor = self._begin_change(segment)
            try:
                holes.punch(descriptor, position, here)
            finally:
                self._end_change(segment, descriptor)
            offset += here

    @staticmethod
    def sync_all(descriptor: int) -> None:
        """Wait for all data files on the file system of this descriptor at once."""
        syncfs(descriptor)

    def data_runs(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The ranges between ``start`` and ``stop``, perhaps longer, that are not holes."""
        for segment in range(start // self.segment_bytes, -(-stop // self.segment_bytes)):
            if not self._exists(segment):
                continue
            place = segment * self.segment_bytes
            descriptor = self._descriptor(segment)
            for begin, end in holes.data_runs(descriptor, max(start - place, 0), stop - place):
                yield place + begin, place + end

    def forget_pages(self) -> None:
        """Let what is read next come from the disk and not from memory, as far as it is written."""
        for descriptor in self._open_all():
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
