"""Sparse data files: bytes at offsets, nothing more.

A file is a row of segments of at most 1 TiB (ext4 with 4 KiB blocks ends at 16 TiB, and smaller
files are easier to copy, check and remove). A segment is created by the first write into it and
never grows beyond what was written; absent parts are holes.

Every descriptor holds a shared lock (flock) on its segment, so that another process can see that
the file is in use; whoever wants to remove bytes needs the lock for himself (``lock_alone``).

What this process wrote it reads back unchecked, so it must notice when somebody else touches the
file (``foreign``). ``was_touched`` tells.

A descriptor stays open from first use to ``close``: an error of the kernel's write-back is
reported once, perhaps to this descriptor only. ``close`` must not run beside other calls; all
other methods may run at once. They raise OSError; translation is the business of the caller.
"""

import errno
import fcntl
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ossfs_resume.cache import holes
from ossfs_resume.cache.buffers import front, read_fully, scratch, without_front
from ossfs_resume.cache.datafolder import DataFolder
from ossfs_resume.cache.folder import open_private, sync_directory
from ossfs_resume.cache.foreign import ForeignChanges, Seen

SEGMENT_BYTES = 1 << 40


class DataFile:
    """The bytes of one row, ``<row id>-<suffix>.<segment>``."""

    segment_bytes = SEGMENT_BYTES

    def __init__(self, folder: DataFolder, row_id: int, suffix: str, size: int) -> None:
        self._folder = folder
        self._directory = folder.folder_of(row_id)
        self._name = f"{row_id}-{suffix}"
        self._segment_count = -(-size // self.segment_bytes)
        self._lock = threading.Lock()
        self._descriptors: dict[int, int] = {}
        # An earlier process may have created segments and been killed before it synced them.
        self._has_new_names = True
        self._is_unlinked = False
        self._is_closed = False
        self._foreign = ForeignChanges()

    @property
    def seen(self) -> Mapping[int, Seen]:
        """Each open segment as it was when this process opened it or last wrote to it."""
        return self._foreign.seen

    def was_touched(self) -> bool:
        """Whether somebody else has changed the file since this was last asked."""
        with self._lock:
            return self._foreign.take(self._descriptors)

    def write(self, offset: int, chunks: Iterable[bytes]) -> None:
        """Write all ``chunks`` one after the other from ``offset`` on.

        Raises FileNotFoundError if the file was removed.
        """
        views = [memoryview(chunk) for chunk in chunks if chunk]
        while views:
            segment, position = divmod(offset, self.segment_bytes)
            batch = front(views, self.segment_bytes - position)
            with self._changing(segment) as descriptor:
                written = os.pwritev(descriptor, batch, position)
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

    def read_nowait(self, offset: int, length: int) -> bytes | None:
        """Exactly ``length`` bytes if all are in the page cache, otherwise None."""
        segment, position = divmod(offset, self.segment_bytes)
        if not self._folder.supports_nowait or position + length > self.segment_bytes:
            return None
        view = scratch(length)
        try:
            count = os.preadv(self._descriptor(segment), [view], position, os.RWF_NOWAIT)
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                self._folder.supports_nowait = False
            return None
        return bytes(view) if count == length else None

    def sync(self) -> None:
        """Wait until everything in the file is on the disk, names included.

        Segments that an earlier process wrote are opened for it.
        """
        self._open_all()
        with self._lock:
            descriptors = list(self._descriptors.values())
            has_new_names, self._has_new_names = self._has_new_names, False
        if not descriptors:
            raise FileNotFoundError(errno.ENOENT, "data file is gone", self._name)
        for descriptor in descriptors:
            os.fdatasync(descriptor)
        if has_new_names:
            sync_directory(self._directory)
            sync_directory(self._directory.parent)

    def hold(self) -> None:
        """Open all segments that exist, so that nobody else removes them."""
        self._open_all()

    def lock_alone(self) -> bool:
        """Keep everybody else from opening the file until ``share``; False if it is in use."""
        self._open_all()
        try:
            for descriptor in self._opened():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.share()
            return False
        return True

    def share(self) -> None:
        """Let others open the file again."""
        for descriptor in self._opened():
            fcntl.flock(descriptor, fcntl.LOCK_SH)

    def punch(self, offset: int, length: int) -> None:
        """Give the space of these bytes back; needs ``lock_alone``."""
        stop = offset + length
        while offset < stop:
            segment, position = divmod(offset, self.segment_bytes)
            here = min(stop - offset, self.segment_bytes - position)
            with self._changing(segment) as descriptor:
                holes.punch(descriptor, position, here)
            offset += here

    def data_runs(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The ranges between ``start`` and ``stop``, perhaps longer, that are not holes."""
        for segment in range(start // self.segment_bytes, -(-stop // self.segment_bytes)):
            if segment not in self._descriptors and not self._path(segment).exists():
                continue
            place = segment * self.segment_bytes
            descriptor = self._descriptor(segment)
            for begin, end in holes.data_runs(descriptor, max(start - place, 0), stop - place):
                yield place + begin, place + end

    def forget_pages(self) -> None:
        """Let what is read next come from the disk and not from memory, as far as it is written."""
        self._open_all()
        for descriptor in self._opened():
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def allocated(self) -> int:
        """The bytes that the disk has given to the file."""
        blocks = 0
        for segment in range(self._segment_count):
            try:
                blocks += self._stat(segment).st_blocks
            except FileNotFoundError:
                continue
        return blocks * 512

    def unlink(self) -> None:
        """Remove the names; open descriptors go on, no segment is created any more."""
        with self._lock:
            self._is_unlinked = True
        for segment in range(self._segment_count):
            self._path(segment).unlink(missing_ok=True)

    def close(self) -> None:
        """Close all descriptors; every later call raises OSError."""
        with self._lock:
            self._is_closed = True
            descriptors, self._descriptors = self._descriptors, {}
            self._foreign.closed()
        for descriptor in descriptors.values():
            os.close(descriptor)

    @contextmanager
    def _changing(self, segment: int) -> Iterator[int]:
        """The descriptor of a segment, for a change of our own."""
        descriptor = self._descriptor(segment, create=True)
        with self._lock:
            self._require_named(segment)
            self._foreign.begin(segment, self._descriptors)
        try:
            yield descriptor
        finally:
            with self._lock:
                self._foreign.end(segment, descriptor)

    def _require_named(self, segment: int) -> None:
        if not os.fstat(self._descriptors[segment]).st_nlink and not self._is_unlinked:
            raise FileNotFoundError(errno.ENOENT, "data file was removed", self._name)

    def _open_all(self) -> None:
        for segment in range(self._segment_count):
            if segment not in self._descriptors and self._path(segment).exists():
                self._descriptor(segment)

    def _opened(self) -> list[int]:
        with self._lock:
            return list(self._descriptors.values())

    def _stat(self, segment: int) -> os.stat_result:
        return os.stat(self._descriptors.get(segment, self._path(segment)))

    def _path(self, segment: int) -> Path:
        return self._directory / f"{self._name}.{segment}"

    def _descriptor(self, segment: int, *, create: bool = False) -> int:
        found = self._descriptors.get(segment)
        if found is not None:
            return found
        with self._lock:
            if segment not in self._descriptors:
                descriptor = self._open(segment, create=create)
                self._foreign.opened(segment, descriptor)
                self._descriptors[segment] = descriptor
            return self._descriptors[segment]

    def _open(self, segment: int, *, create: bool) -> int:
        if self._is_closed:
            raise OSError(errno.EBADF, "data file is closed", self._name)
        try:
            return _shared(open_private(self._path(segment), os.O_RDWR))
        except FileNotFoundError:
            if not create or self._is_unlinked:
                raise
        except OSError as error:
            if create or error.errno not in (errno.EROFS, errno.EACCES):
                raise
            return open_private(self._path(segment), os.O_RDONLY)
        # Not its parents: a cache that was removed is not made again by a leftover of it.
        with suppress(FileExistsError):
            self._directory.mkdir(0o700)
            self._directory.chmod(0o700)
        self._has_new_names = True
        return _shared(open_private(self._path(segment), os.O_RDWR | os.O_CREAT))


def _shared(descriptor: int) -> int:
    """Take the lock that says "in use"; who has it alone is about to remove bytes."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
