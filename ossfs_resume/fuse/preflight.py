"""Everything that can be known to prevent a mount, each as one line with its remedy.

libfuse only says that mounting failed, so the questions are asked beforehand. All of it may block:
a dead or hung file system at the mount point answers late or never.
"""

import errno
import os
import shutil
from pathlib import Path

from ossfs_resume.errors import MountError
from ossfs_resume.fuse.mounts import detach, mount_at
from ossfs_resume.wording import quoted

_DEVICE = "/dev/fuse"
CONFIGURATION = Path("/etc/fuse.conf")


def prepare(mountpoint: str, *, allow_other: bool) -> str:
    """Make sure that a mount can be made; return the mount point without symbolic links.

    A dead mount of our own type at that place is unmounted lazily: mounting over it would fail, and
    nobody can use it. What else is mounted there is covered if it is empty: autofs asks for that,
    and so does who gives a container a directory of his own. Raises MountError with the reason
    and the remedy.
    """
    path = os.path.realpath(mountpoint)
    _clear_dead_mount(path)
    _check_directory(path)
    check_device()
    if os.geteuid() != 0:
        check_helper()
        if allow_other:
            check_allow_other(CONFIGURATION)
    return path


def has_helper() -> bool:
    """Whether fusermount3, and with it ``auto_unmount``, is at hand."""
    return shutil.which("fusermount3") is not None


def _clear_dead_mount(path: str) -> None:
    while (mount := mount_at(path)) is not None and mount.is_ours:
        if not _is_dead(path):
            raise MountError(
                f"{path} is already a mount point (of {mount.source}); "
                f"unmount it first: umount {path}"
            )
        detach(path)


def _is_dead(path: str) -> bool:
    try:
        os.stat(path)
    except OSError as error:
        return error.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    return False


def _check_directory(path: str) -> None:
    try:
        with os.scandir(path) as entries:
            is_empty = next(entries, None) is None
    except FileNotFoundError:
        raise MountError(f"{path} does not exist; create it: mkdir -p {quoted(path)}") from None
    except NotADirectoryError:
        raise MountError(f"{path} is not a directory; name an empty directory") from None
    except OSError as error:
        raise MountError(f"{path} cannot be used: {error.strerror}") from error
    if not is_empty:
        raise MountError(f"{path} is not empty; name an empty directory")


def check_device() -> None:
    try:
        os.close(os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        remedy = "load the module (modprobe fuse), or give the container --device /dev/fuse"
        raise MountError(f"{_DEVICE} does not exist; {remedy}") from None
    except PermissionError:
        remedy = "its mode should be 0666; in a container add --device /dev/fuse"
        raise MountError(f"{_DEVICE} may not be opened; {remedy}") from None
    except OSError as error:
        remedy = "load the module: modprobe fuse"
        raise MountError(f"{_DEVICE} cannot be opened: {error.strerror}; {remedy}") from error


def check_helper() -> None:
    if not has_helper():
        raise MountError("fusermount3 is missing, users mount with it; install the package fuse3")


def check_allow_other(configuration: Path) -> None:
    try:
        lines = configuration.read_text(errors="surrogateescape").splitlines()
    except OSError:
        lines = []
    if "user_allow_other" not in (line.strip() for line in lines):
        raise MountError(
            f"allow_other is reserved for root; put the line user_allow_other into {configuration}"
        )
