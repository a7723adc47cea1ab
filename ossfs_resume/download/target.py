"""The file that a download makes: how it looks, and how it comes to its name, whole or not at all.

Mode: what any new file gets (0666 less the umask), or what the file had that it replaces. Time:
the object's. The bytes are on the disk before the name is there: neither `kill -9` nor a power cut
leaves a short or empty file under it.
"""

import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ossfs_resume.cache.crc64 import checksum
from ossfs_resume.errors import TargetError
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.wording import quoted, reason

_READ_BYTES = 1 << 20
_UMASK = re.compile(r"^Umask:\s*([0-7]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Target:
    """A path as it is at one moment. Methods block."""

    path: Path
    status: os.stat_result | None

    @classmethod
    def at(cls, path: Path) -> "Target":
        """Raises TargetError for a place where no file can be put."""
        try:
            status = path.lstat()
        except FileNotFoundError:
            status = None
        except OSError as error:
            raise TargetError(f"cannot download to {quoted(path)}: {reason_of(error)}") from error
        if status is not None and not (
            stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)
        ):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a file"
            raise TargetError(f"cannot download to {quoted(path)}: it is {kind}")
        return cls(path, status)

    @property
    def exists(self) -> bool:
        """Whether something is there that would be replaced."""
        return self.status is not None

    def is_same_as(self, other: "Target") -> bool:
        """Whether it is the file that it was."""
        return _identity(self.status) == _identity(other.status)

    def may_be(self, meta: ObjectMeta) -> bool:
        """Whether it has the size and the time of an object."""
        return (
            self.status is not None
            and stat.S_ISREG(self.status.st_mode)
            and self.status.st_size == meta.size
            and self.status.st_mtime_ns == meta.modified * 1_000_000_000
        )

    def is_older(self, meta: ObjectMeta) -> bool:
        """Whether the bucket has something newer, or of another size."""
        status = self.status
        return status is None or status.st_size != meta.size or status.st_mtime < meta.modified

    def has_bytes_of(self, meta: ObjectMeta) -> bool:
        """Whether it is this object, by its CRC-64; all of it is read for that."""
        if meta.crc64 is None or not self.may_be(meta):
            return False
        with suppress(OSError), self.path.open("rb", buffering=0) as file:
            return checksum(iter(lambda: file.read(_READ_BYTES), b"")) == meta.crc64
        return False

    def dress(self, descriptor: int, meta: ObjectMeta, *, is_private: bool) -> None:
        """Give a new file its mode and time. Raises OSError.

        One that is not private was made with 0666, and has what the umask leaves of that.
        """
        status = self.status
        if status is not None and stat.S_ISREG(status.st_mode):
            _change_mode(descriptor, status.st_mode & 0o777)
        elif is_private:
            _change_mode(descriptor, 0o666 & ~_umask())
        os.utime(descriptor, ns=(meta.modified * 1_000_000_000,) * 2)


def reason_of(error: OSError) -> str:
    """Why, without the path, which the sentence has named already."""
    return reason(OSError(error.errno, error.strerror or str(error)))


def make_folder(path: Path) -> None:
    """The directory that a file goes to. Raises TargetError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TargetError(f"cannot make {quoted(path)}: {reason_of(error)}") from error


def sync_folder(path: Path) -> None:
    """Make names durable; one that may be written but not read cannot be synced."""
    with suppress(PermissionError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _change_mode(descriptor: int, mode: int) -> None:
    with suppress(PermissionError):  # of a file system that has no modes
        os.fchmod(descriptor, mode)


def _umask() -> int:
    """Asked of /proc, for os.umask would change it for a moment, for all threads."""
    match = _UMASK.search(Path("/proc/self/status").read_text())
    return int(match[1], 8) if match else 0o077


def _identity(status: os.stat_result | None) -> tuple[int, ...]:
    return () if status is None else (status.st_ino, status.st_size, status.st_mtime_ns)
