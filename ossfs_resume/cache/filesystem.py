"""Which file system a path lies on, and whether a cache may live there.

SQLite's WAL needs shared memory and POSIX locks between all users of a file; network file systems
emulate one or both (https://www.sqlite.org/wal.html, "all processes using a database must be on
the same host computer"). On FUSE a cache could also end up inside a mount that it serves itself.
"""

import os
import re
from pathlib import Path

from ossfs_resume.errors import CacheError

_REFUSED = {
    "nfs": "NFS",
    "nfs4": "NFS",
    "cifs": "SMB/CIFS",
    "smb3": "SMB/CIFS",
    "smbfs": "SMB/CIFS",
    "lustre": "Lustre",
    "9p": "9p",
    "fuse": "FUSE",
    "fuseblk": "FUSE",
}


def file_system_type(path: str, mountinfo: str) -> str:
    """The type of the mount that the absolute, resolved ``path`` lies on; empty if unknown.

    ``mountinfo`` is the text of ``/proc/self/mountinfo`` (proc(5)); of several mounts on the same
    directory the last one listed is the visible one.
    """
    found, found_type = "", ""
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        directory = _unescaped(fields.split(" ")[4])
        if len(directory) >= len(found) and _lies_in(path, directory):
            found, found_type = directory, rest.split(" ")[0]
    return found_type


def refusal(type_name: str) -> str | None:
    """The common name of a file system that cannot hold a cache, or None if this one can."""
    return _REFUSED.get(type_name.partition(".")[0])


def require_local(path: Path, mountinfo: str | None = None) -> None:
    """Raise CacheError, naming the file system, if ``path`` cannot hold a cache.

    ``path`` need not exist. ``mountinfo`` is that of this process by default.
    """
    if mountinfo is None:
        mountinfo = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    name = refusal(file_system_type(os.path.realpath(path), mountinfo))
    if name:
        raise CacheError(
            f"cache directory {path} lies on {name}, where locks and shared memory are not "
            "reliable; choose one on a local disk"
        )


def is_read_only(path: Path) -> bool:
    """Whether the file system that holds ``path`` is mounted read-only."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _lies_in(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _unescaped(text: str) -> str:
    """Undo the kernel's octal escapes of blank, tab, newline and backslash."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
