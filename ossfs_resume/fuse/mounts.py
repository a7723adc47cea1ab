"""The mount table of this process, read without touching any mount.

``stat`` of a FUSE mount is a request to its process: on our own event loop it would wait for
itself, and a hung mount would hang us. /proc/self/mountinfo (proc_pid_mountinfo(5)) asks nobody.
"""

import ctypes
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ossfs_resume.errors import MountError

SUBTYPE = "ossfs-resume"
FILE_SYSTEM_TYPE = f"fuse.{SUBTYPE}"

_MNT_DETACH = 2  # umount2(2)
_UMOUNT_NOFOLLOW = 8


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the table; the kernel's numbers for the device it shows."""

    major: int
    minor: int
    mountpoint: str
    file_system_type: str
    source: str

    @property
    def is_ours(self) -> bool:
        """Whether some process of this program made it."""
        return self.file_system_type == FILE_SYSTEM_TYPE


def parse_mountinfo(text: str) -> list[Mount]:
    """The lines of /proc/self/mountinfo in mount order: of equal mount points the last is on top.

    Lines that do not have the documented fields are skipped.
    """
    return [mount for line in text.split("\n") if (mount := _parse_line(line)) is not None]


def _parse_line(line: str) -> Mount | None:
    fields = line.split(" ")
    try:
        # Behind six fields and any number of optional ones (proc(5)); a name may look like it.
        rest = fields[fields.index("-", 6) + 1 :]
    except ValueError:
        return None
    if len(rest) < 2:
        return None
    major, _, minor = fields[2].partition(":")
    return Mount(int(major), int(minor), _unescape(fields[4]), rest[0], _unescape(rest[1]))


def _unescape(field: str) -> str:
    # The kernel writes space, tab, newline and backslash as three octal digits.
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def mounts() -> list[Mount]:
    """What is mounted in this process's mount namespace. Never blocks on a file system."""
    table = Path("/proc/self/mountinfo").read_bytes()
    return parse_mountinfo(os.fsdecode(table))


def mount_at(mountpoint: str) -> Mount | None:
    """The topmost mount at exactly ``mountpoint`` (absolute, without symbolic links)."""
    found = [mount for mount in mounts() if mount.mountpoint == mountpoint]
    return found[-1] if found else None


def detach(mountpoint: str) -> None:
    """Unmount lazily: the name is free at once, programs inside keep what they have open.

    Blocking, but asks the file system nothing. Raises MountError with the reason.
    """
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.umount2(os.fsencode(mountpoint), _MNT_DETACH | _UMOUNT_NOFOLLOW) != 0:
            raise MountError(f"cannot unmount {mountpoint}: {os.strerror(ctypes.get_errno())}")
        return
    command = ["fusermount3", "-u", "-z", "--", mountpoint]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise MountError(f"cannot unmount {mountpoint}: {error}") from error
    if result.returncode != 0:
        raise MountError(f"cannot unmount {mountpoint}: {result.stderr.strip()}")
