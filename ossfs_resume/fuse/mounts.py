"""The mount table of this process, read without touching any mount; and taking mounts down.

``stat`` of a FUSE mount is a request to its process: on our own event loop it would wait for
itself, and a hung mount would hang us. /proc/self/mountinfo (proc_pid_mountinfo(5)) asks nobody.
"""

import ctypes
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ossfs_resume.errors import InUse, MountError
from ossfs_resume.wording import quoted

SUBTYPE = "ossfs-resume"
FILE_SYSTEM_TYPE = f"fuse.{SUBTYPE}"

TABLE_OF_HELPER = "/etc/mtab"
"""Where fusermount3 looks for what it unmounts; it mounts without, and then nobody unmounts."""
TABLE_REMEDY = f"as root: ln -sf /proc/self/mounts {TABLE_OF_HELPER}"

_MNT_DETACH = 2  # umount2(2)
_UMOUNT_NOFOLLOW = 8
_EBUSY = 16


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the table. The kernel gives ``mount_id`` and the device numbers out again as soon
    as they are free. ``user_id`` and ``group_id`` are those of who mounted it, if it is FUSE; with
    ``allows_others`` it answers others than that user, too. ``parent_id`` is the mount ID of what
    it is mounted on."""

    mount_id: int
    major: int
    minor: int
    mountpoint: str
    file_system_type: str
    source: str
    user_id: int = 0
    group_id: int = 0
    allows_others: bool = False
    parent_id: int = field(default=0, compare=False)

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
    words = rest[2] if rest[2:] else ""
    options = dict(re.findall(r"(?:^|,)(user_id|group_id)=(\d+)", words))
    return Mount(
        int(fields[0]),
        int(major),
        int(minor),
        _unescape(fields[4]),
        rest[0],
        _unescape(rest[1]),
        int(options.get("user_id", 0)),
        int(options.get("group_id", 0)),
        "allow_other" in words.split(","),
        int(fields[1]),
    )


def _unescape(field: str) -> str:
    # The kernel writes space, tab, newline and backslash as three octal digits.
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def mounts(process: int | str = "self") -> list[Mount]:
    """What is mounted in the mount namespace of a process. Never blocks on a file system.

    Raises OSError if that process is gone, or is somebody else's.
    """
    table = Path(f"/proc/{process}/mountinfo").read_bytes()
    return parse_mountinfo(os.fsdecode(table))


def mount_at(mountpoint: str) -> Mount | None:
    """The topmost mount at exactly ``mountpoint`` (absolute, without symbolic links)."""
    found = [mount for mount in mounts() if mount.mountpoint == mountpoint]
    return found[-1] if found else None


def located(mount: Mount) -> Mount | None:
    """The line that ``mount`` has now: it or a directory above it may have been moved."""
    found = [one for one in mounts() if replace(one, mountpoint=mount.mountpoint) == mount]
    return found[-1] if found else None


def mount_of(path: str, table: Sequence[Mount]) -> Mount | None:
    """The mount of ``table`` that an absolute path leads into, as it is written; its links are not
    followed."""
    found: Mount | None = None
    for mount in table:
        point = mount.mountpoint.rstrip("/")
        is_below = path == point or path.startswith(point + "/")
        if is_below and (found is None or len(mount.mountpoint) >= len(found.mountpoint)):
            found = mount
    return found


def users_elsewhere(mount: Mount) -> list[tuple[int, str]]:
    """Where else the file system of ``mount`` is mounted: for each other mount namespace that can
    be seen from here the number and the name of a process in it."""
    found = {_namespace("self"): (0, "")}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        with suppress(OSError):
            namespace = _namespace(pid)
            if namespace not in found and any(_shows(mount, one) for one in mounts(pid)):
                found[namespace] = (pid, Path(f"/proc/{pid}/comm").read_text().strip())
    return list(found.values())[1:]


def _namespace(process: int | str) -> str:
    return os.readlink(f"/proc/{process}/ns/mnt")


def _shows(mount: Mount, other: Mount) -> bool:
    return (mount.major, mount.minor, mount.source) == (other.major, other.minor, other.source)


def resolve(path: str) -> str:
    """``path`` absolute and without symbolic links; a mount that it names is not asked.

    Raises MountError for the empty name, which is not the current directory.
    """
    if not path:
        raise MountError("an empty name is no mount point")
    path = os.path.abspath(path)
    path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    return path if mount_at(path) is not None else os.path.realpath(path)


@dataclass(frozen=True, slots=True)
class Pinned:
    """A mount that is certainly this one: while ``descriptor`` is open the kernel gives its numbers
    to no other, and nobody can unmount it except lazily."""

    mount: Mount
    descriptor: int

    def detach(self) -> None:
        """Unmount it lazily, and nothing else. Raises MountError with the reason; also if anything
        is mounted inside, which would go with it."""
        mountpoint = self.mount.mountpoint
        for inside in mounts():
            if inside.parent_id == self.mount.mount_id:
                raise MountError(
                    f"{inside.mountpoint} is mounted inside {mountpoint} and would be taken away "
                    f"with it; to unmount both: umount -l {quoted(mountpoint)}"
                )
        if os.geteuid() == 0:
            _unmount(f"/proc/self/fd/{self.descriptor}", mountpoint, _MNT_DETACH)
        elif mount_at(mountpoint) == self.mount:
            detach(mountpoint)


@contextmanager
def pinned(mount: Mount) -> Iterator[Pinned | None]:
    """Hold on to ``mount``; None if it is not on top at its place any more. It is not asked."""
    try:
        descriptor = os.open(mount.mountpoint, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        yield None
        return
    try:
        told = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
        is_it = f"mnt_id:\t{mount.mount_id}\n" in told and mount_at(mount.mountpoint) == mount
        yield Pinned(mount, descriptor) if is_it else None
    finally:
        os.close(descriptor)


def detach(mountpoint: str) -> None:
    """Unmount lazily: the name is free at once, programs inside keep what they have open.

    Blocking, but asks the file system nothing. Raises MountError with the reason.
    """
    unmount(mountpoint, lazy=True)


def unmount(mountpoint: str, *, lazy: bool) -> None:
    """Unmount what is on top there, as whoever made it may. Raises MountError; InUse if it is."""
    if os.geteuid() == 0:
        flags = _UMOUNT_NOFOLLOW | (_MNT_DETACH if lazy else 0)
        _unmount(mountpoint, mountpoint, flags)
        return
    command = ["fusermount3", "-u", *(["-z"] if lazy else []), "--", mountpoint]
    environment = os.environ | {"LC_ALL": "C"}
    try:
        result = subprocess.run(command, capture_output=True, check=False, env=environment)
    except FileNotFoundError:
        raise MountError("fusermount3 is missing; install the package fuse3") from None
    except OSError as error:
        raise MountError(f"cannot unmount {mountpoint}: {error}") from error
    if result.returncode != 0:
        reason = os.fsdecode(result.stderr).strip()
        kind = InUse if reason.endswith(os.strerror(_EBUSY)) else MountError
        if TABLE_OF_HELPER in reason:
            reason += f"; {TABLE_REMEDY}"
        raise kind(f"cannot unmount {mountpoint}: {reason}")


def _unmount(path: str, mountpoint: str, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(path), flags) != 0:
        kind = InUse if ctypes.get_errno() == _EBUSY else MountError
        raise kind(f"cannot unmount {mountpoint}: {os.strerror(ctypes.get_errno())}")
