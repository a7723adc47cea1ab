"""Which process serves a mount, written down where other commands find it.

A mount that hangs says nothing, and its line in the mount table does not name its process. So each
mount has a small file in /run/ossfs-resume (of an ordinary user: in his ``XDG_RUNTIME_DIR``, or
below /tmp if he has none), named after its mount ID. That number and the device's are given out
again; a record counts only for a mount that has the same numbers and the same source, and if it was
written by who made that mount.
"""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ossfs_resume.fuse.mounts import Mount
from ossfs_resume.fuse.watcher import is_dead

_NAME = "ossfs-resume"
_LARGEST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, by its number, the time at which it started (clock ticks since the machine did)
    and the namespace in which it has that number."""

    pid: int
    started: int
    pid_namespace: str

    @property
    def is_here(self) -> bool:
        """Whether its number means anything to this process."""
        return self.pid_namespace == _pid_namespace()

    @property
    def is_dead(self) -> bool:
        """Whether its leader is gone; threads of it may linger. False if that cannot be said."""
        if not self.is_here:
            return False
        try:
            status = Path(f"/proc/{self.pid}/stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return True
        except OSError:
            return False
        return is_dead(status) or _started(status) != self.started


@contextmanager
def recorded(mount: Mount) -> Iterator[None]:
    """Write down that this process serves ``mount``, until the end. Never raises OSError: the
    record is for the day on which something hangs."""
    own = Path("/proc/self/stat").read_bytes()
    owner = Owner(os.getpid(), _started(own), _pid_namespace())
    file = _folders(os.geteuid())[0] / str(mount.mount_id)
    text = json.dumps({"mount": _identity(mount), "owner": asdict(owner)})
    with suppress(OSError):
        _make_folder(file.parent)
        new = file.with_suffix(f".{owner.pid}")
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w") as output:
            output.write(text)
        new.rename(file)
    try:
        yield
    finally:
        with suppress(OSError):
            if file.read_text() == text:
                file.unlink()


def owner_of(mount: Mount) -> Owner | None:
    """The process that was written down for this mount, alive or not; None if nobody was."""
    for folder in _folders(mount.user_id):
        record = _read(folder / str(mount.mount_id), mount.user_id)
        if record is not None and record.get("mount") == _identity(mount):
            with suppress(TypeError, KeyError):
                return Owner(**record["owner"])
    return None


def forget(mount: Mount) -> None:
    """Remove what was written down for a mount that is no more."""
    for folder in _folders(mount.user_id):
        with suppress(OSError):
            (folder / str(mount.mount_id)).unlink()


def _folders(user_id: int) -> list[Path]:
    """Where a user's records may be, first where he writes them."""
    if user_id == 0:
        return [Path("/run") / _NAME]
    own = os.environ.get("XDG_RUNTIME_DIR") if os.geteuid() == user_id else f"/run/user/{user_id}"
    without = Path(f"/tmp/{_NAME}-{user_id}")
    return [Path(own) / _NAME, without] if own else [without]


def _make_folder(folder: Path) -> None:
    """Raises OSError if it is somebody else's, or no folder."""
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise NotADirectoryError(f"{folder} is not ours")


def _read(file: Path, user_id: int) -> dict[str, Any] | None:
    """What a file holds, unless anybody else could have written it."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as record:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != user_id:
                return None
            read = json.loads(record.read(_LARGEST_BYTES))
    except (OSError, ValueError):
        return None
    return read if isinstance(read, dict) else None


def _identity(mount: Mount) -> dict[str, object]:
    return {"id": mount.mount_id, "device": [mount.major, mount.minor], "source": mount.source}


def _started(status: bytes) -> int:
    """Field 22 of /proc/PID/stat; the name in field 2 may hold anything."""
    return int(status.rpartition(b") ")[2].split()[19])


def _pid_namespace() -> str:
    return os.readlink("/proc/self/ns/pid")
