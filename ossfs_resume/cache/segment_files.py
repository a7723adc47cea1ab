"""The files that a data file consists of: made, opened, locked, watched, unlinked and closed.

Every descriptor holds a shared lock (``locks``) on its segment, so that another process can see
that the file is in use; whoever wants to remove bytes needs the lock for himself (``lock_alone``).

A descriptor stays open from first use to ``close``: an error of the kernel's write-back is
reported once, perhaps to this descriptor only. A segment is created by the first change of it, and
never again once the names were removed. ``close`` must not run beside other calls; all other
methods may run at once. They raise OSError.

What this process wrote it reads back unchecked, so it must notice when somebody else touches the
file: a change shows in its size and in the time of its last change (ctime, which nobody can set).
A change of our own shows there as well, so while one is under way nothing is compared but sizes,
which ours never lower. Only what others change meanwhile can go unnoticed, and a truncation not
even then.
"""

import errno
import fcntl
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ossfs_resume.cache.directory import Directory
from ossfs_resume.cache.locks import lock

_NONE: Mapping[int, os.stat_result] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Seen:
    """What tells one state of a file from another."""

    device: int
    inode: int
    size: int
    changed_ns: int


def _seen(status: os.stat_result) -> Seen:
    return Seen(status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns)


class ForeignChanges:
    """Of the open segments of one data file, whose lock is held by whoever calls a method; only
    ``seen`` needs none."""

    def __init__(self) -> None:
        self._seen: dict[int, Seen] = {}
        self._changing = 0
        self._is_touched = False

    @property
    def seen(self) -> Mapping[int, Seen]:
        """Each open segment as it was when this process opened it or last wrote to it."""
        return dict(self._seen)

    def opened(self, segment: int, descriptor: int) -> None:
        """From now on changes of this segment are noticed."""
        self._seen[segment] = _seen(os.fstat(descriptor))

    def closed(self) -> None:
        """No segment is open any more."""
        self._seen.clear()

    def take(self, descriptors: Mapping[int, int]) -> bool:
        """Whether somebody else has changed an open segment since this was last asked."""
        if not self._changing:
            self._compare(descriptors)
        was_touched, self._is_touched = self._is_touched, False
        return was_touched

    def begin(self, segment: int, descriptors: Mapping[int, int]) -> bool:
        """A change of our own begins, others may be under way; whether the file has a name."""
        status = os.fstat(descriptors[segment])
        if not self._changing:
            self._compare(descriptors, {segment: status})
        elif status.st_size < self._seen[segment].size:
            self._is_touched = True
        self._changing += 1
        return status.st_nlink > 0

    def end(self, segment: int, descriptor: int) -> None:
        """A change of our own has ended."""
        self._changing -= 1
        self._seen[segment] = _seen(os.fstat(descriptor))

    def _compare(
        self, descriptors: Mapping[int, int], known: Mapping[int, os.stat_result] = _NONE
    ) -> None:
        for segment, descriptor in descriptors.items():
            found = _seen(known.get(segment) or os.fstat(descriptor))
            if found != self._seen[segment]:
                self._seen[segment] = found
                self._is_touched = True


class SegmentFiles:
    """``<name>.0`` to ``<name>.<count - 1>`` in ``folder`` of ``data``, as far as they exist: what
    a ``DataFile`` is but for the bytes."""

    def __init__(self, data: Directory, folder: str, name: str, count: int) -> None:
        self._data = data
        self._folder = folder
        self._name = name
        self._count = count
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
        """Whether somebody else has changed an open segment since this was last asked."""
        with self._lock:
            return self._foreign.take(self._descriptors)

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
            self._sync_names()

    def _sync_names(self) -> None:
        try:
            self._data.enter(self._folder).sync()
            self._data.sync()
        except OSError:
            self._has_new_names = True
            raise

    def hold(self) -> bool:
        """Open all segments that exist, so that nobody else removes them. Always True: bytes that
        are not there are found when they are compared."""
        self._open_all()
        return True

    def lock_alone(self) -> bool:
        """Keep everybody else from opening the files until ``share``; False if one is in use, or
        on a read-only disk."""
        descriptors = self._open_all()
        try:
            for descriptor in descriptors:
                lock(descriptor, fcntl.F_WRLCK)
        except OSError:
            self.share()
            return False
        return True

    def share(self) -> None:
        """Let others open the files again."""
        for descriptor in self._opened():
            lock(descriptor, fcntl.F_RDLCK, is_patient=True)

    @staticmethod
    def takes(size: int) -> int:
        """What a write of so many bytes takes of the disk."""
        return size

    def allocated(self) -> int:
        """The bytes that the disk has given to them."""
        return sum(map(self._blocks, range(self._count))) * 512

    def unlink(self, *, at_once: bool = False) -> None:
        """Remove the names; open descriptors go on, no segment is created any more.

        ``at_once`` gives the space back before they are closed; needs ``lock_alone``.
        """
        with self._lock:
            self._is_unlinked = True
        with suppress(FileNotFoundError):
            directory = self._data.enter(self._folder)
            for segment in range(self._count):
                directory.unlink(self._file(segment))
        for descriptor in self._opened() if at_once else ():
            os.ftruncate(descriptor, 0)

    def give_away(self, place: Path, prepare: Callable[[int], None]) -> None:
        """Rename the only segment to ``place``, on the same file system, once ``prepare`` was
        called with its descriptor and all of it is on the disk. The file is not ours any more."""
        if self._count != 1:
            raise ValueError(f"{self._name} consists of {self._count} files")
        descriptor = self._descriptor(0)
        prepare(descriptor)
        os.fsync(descriptor)
        folder = self._data.enter(self._folder)
        os.rename(self._file(0), place, src_dir_fd=folder.descriptor)
        self._is_unlinked = True

    def close(self) -> None:
        """Close all descriptors; every later call raises OSError."""
        with self._lock:
            self._is_closed = True
            descriptors, self._descriptors = self._descriptors, {}
            self._foreign.closed()
        for descriptor in descriptors.values():
            os.close(descriptor)

    # --- for the bytes in them ---

    def _descriptor(self, segment: int, *, create: bool = False) -> int:
        """That of one segment, opened now if need be."""
        found = self._descriptors.get(segment)
        if found is not None:
            return found
        with self._lock:
            if segment not in self._descriptors:
                descriptor = self._open(segment, create=create)
                self._foreign.opened(segment, descriptor)
                self._descriptors[segment] = descriptor
            return self._descriptors[segment]

    def _exists(self, segment: int) -> bool:
        """Whether a segment is there to be read."""
        return segment in self._descriptors or self._stat(segment) is not None

    def _open_all(self) -> Sequence[int]:
        """Open all segments that exist; the descriptors of all that are open."""
        for segment in range(self._count):
            if self._exists(segment):
                self._descriptor(segment)
        return self._opened()

    def _begin_change(self, segment: int) -> int:
        """The descriptor of a segment, for a change of our own until `_end_change`.

        Raises FileNotFoundError if somebody else has removed the file.
        """
        descriptor = self._descriptor(segment, create=True)
        with self._lock:
            if not self._foreign.begin(segment, self._descriptors) and not self._is_unlinked:
                self._foreign.end(segment, descriptor)
                raise FileNotFoundError(errno.ENOENT, "data file was removed", self._name)
        return descriptor

    def _end_change(self, segment: int, descriptor: int) -> None:
        with self._lock:
            self._foreign.end(segment, descriptor)

    # --- for nobody else ---

    def _opened(self) -> list[int]:
        with self._lock:
            return list(self._descriptors.values())

    def _file(self, segment: int) -> str:
        return f"{self._name}.{segment}"

    def _stat(self, segment: int) -> os.stat_result | None:
        try:
            return self._data.enter(self._folder).stat(self._file(segment))
        except FileNotFoundError:
            return None

    def _blocks(self, segment: int) -> int:
        descriptor = self._descriptors.get(segment)
        status = self._stat(segment) if descriptor is None else os.fstat(descriptor)
        return 0 if status is None else status.st_blocks

    def _open(self, segment: int, *, create: bool) -> int:
        if self._is_closed:
            raise OSError(errno.EBADF, "data file is closed", self._name)
        try:
            return self._open_existing(segment, is_changing=create)
        except FileNotFoundError:
            if not create or self._is_unlinked:
                raise
        # Not its parents: a cache that was removed is not made again by a leftover of it.
        directory = self._data.make(self._folder)
        self._has_new_names = True
        return _shared(directory.open(self._file(segment), os.O_RDWR | os.O_CREAT))

    def _open_existing(self, segment: int, *, is_changing: bool) -> int:
        directory, name = self._data.enter(self._folder), self._file(segment)
        try:
            return _shared(directory.open(name, os.O_RDWR))
        except OSError as error:
            if is_changing or error.errno not in (errno.EROFS, errno.EACCES):
                raise
            return directory.open(name, os.O_RDONLY)


def _shared(descriptor: int) -> int:
    """Take the lock that says "in use"; who has it alone is about to remove bytes."""
    try:
        lock(descriptor, fcntl.F_RDLCK, is_patient=True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
