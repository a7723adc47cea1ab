"""What has arrived of one target, beside it: a store of its own, and whose it is at a moment.

::

    <target>.ossfs-part/
        lock               held (flock) by the run that downloads to the target, and says which
        store/             parts and their checksums (`CacheStore`), removed with it at the end

One run has it at a time, so nobody else has the data file open that becomes the target. The kernel
drops the lock with the process. Nothing but these two names is ever removed: a directory of
somebody else that happens to have the name stays.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from ossfs_resume.cache.data_file import DataFile
from ossfs_resume.cache.directory import Directory
from ossfs_resume.cache.filesystem import require_local
from ossfs_resume.cache.models import CacheSettings
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.download.places import part_folder, part_folder_in
from ossfs_resume.errors import CacheError, DiskFull, TargetError
from ossfs_resume.wording import quoted, reason

LOCK, STORE = "lock", "store"


def part_place(
    target: Path, state: Path | None, elsewhere: Path | None, mountinfo: str | None = None
) -> Path:
    """Where it is for a target: in ``state`` if that is given, beside the target if its file system
    can hold a store (NFS, SMB and FUSE cannot), in ``elsewhere`` otherwise.

    ``mountinfo`` is that of this process by default.
    """
    if state is None and elsewhere is not None:
        try:
            require_local(target.parent, mountinfo)
        except CacheError:
            state = elsewhere
    return part_folder(target) if state is None else part_folder_in(state, target)


class WholeFile(DataFile):
    """A data file that is one file whatever its size, to become the target."""

    segment_bytes = 1 << 62


class PartFolder:
    """The directory, which this run has for itself. Methods block."""

    def __init__(self, directory: Directory, lock: int) -> None:
        self._directory = directory
        self._lock = lock

    @classmethod
    def take(cls, path: Path) -> "PartFolder | int":
        """Have it, made if need be; or the process that has it, 0 if that cannot be known.

        Raises TargetError.
        """
        try:
            while True:
                with suppress(FileNotFoundError):  # its run has just ended, and removed it
                    taken = cls._try(path)
                    if taken is not None:
                        return taken
        except OSError as error:
            raise TargetError(
                f"cannot download to {quoted(path.parent)}: {reason(error)}"
            ) from error
        except CacheError as error:
            raise TargetError(str(error)) from error

    @classmethod
    def _try(cls, path: Path) -> "PartFolder | int | None":
        """None: it was removed meanwhile."""
        with suppress(FileExistsError):
            path.mkdir(0o700)
        directory = Directory.at(path)
        lock = directory.open(LOCK, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0)
            os.close(lock)
            return int(holder) if holder.isdigit() else 0
        status = directory.stat(LOCK)
        is_current = status is not None and os.path.samestat(status, os.fstat(lock))
        if not is_current or not directory.is_current():
            os.close(lock)
            return None
        with suppress(OSError):  # a full disk: nobody is told which process it is
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
        return cls(directory, lock)

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever kept in it."""
        return self._directory.stat(STORE) is None

    def open_store(self, part_size: int) -> CacheStore:
        """The store, begun anew if it cannot be used. Raises CacheError."""
        settings = CacheSettings(self._directory.path, STORE, part_size)
        try:
            return CacheStore.open(settings, data_file=WholeFile)
        except DiskFull:
            raise
        except CacheError:
            self.clear()
            return CacheStore.open(settings, data_file=WholeFile)

    def clear(self) -> None:
        """Forget what has arrived; the store must not be open. Raises CacheError."""
        try:
            self._directory.remove(STORE)
        except OSError as error:
            raise CacheError(f"cannot remove what has arrived: {reason(error)}") from error

    def remove(self) -> None:
        """Remove it with all that has arrived; it is to be released nevertheless. What cannot be
        removed stays and does no harm."""
        with suppress(OSError, CacheError):
            self._directory.remove(STORE)
            self._directory.unlink(LOCK)
            self._directory.path.rmdir()

    def release(self) -> None:
        """Let another run have it."""
        os.close(self._lock)
