"""Everything that can be known to prevent a mount, each as one line with its remedy.

libfuse only says that mounting failed, so the questions are asked beforehand. All of it may block:
a dead or hung file system at the mount point answers late or never.
"""

import os
import pwd
import shutil
import stat
from pathlib import Path

from ossfs_resume.errors import MountError
from ossfs_resume.fuse import dead_mounts
from ossfs_resume.fuse.mounts import TABLE_OF_HELPER, TABLE_REMEDY, Mount, resolve
from ossfs_resume.wording import quoted

_DEVICE = "/dev/fuse"
_STATUS = Path("/proc/self/status")
_NO_NEW_PRIVILEGES = "NoNewPrivs:\t1\n"
CONFIGURATION = Path("/etc/fuse.conf")

# A trigger: what is asked for is mounted on top of it, and to look into it would wait for that.
_AUTOMOUNT = "autofs"


def prepare(mountpoint: str, *, allow_other: bool) -> str:
    """Make sure that a mount can be made; return the mount point without symbolic links.

    A dead mount of our own at that place is taken away: mounting over it would fail, and nobody can
    use it. What else is mounted there is covered if it is empty: autofs asks for that, and so does
    who gives a container a directory of his own. Raises MountError with the reason and the remedy.
    """
    path = resolve(mountpoint)
    mount = dead_mounts.clear(path)
    if mount is not None and mount.is_ours:
        raise MountError(_already_mounted(mount))
    if mount is None or mount.file_system_type != _AUTOMOUNT:
        _check_directory(path)
    check_device()
    if os.geteuid() != 0:
        check_helper()
        _check_writable(path)
        if allow_other:
            check_allow_other(CONFIGURATION)
    return path


def has_helper() -> bool:
    """Whether fusermount3 is at hand."""
    return shutil.which("fusermount3") is not None


def _already_mounted(mount: Mount) -> str:
    return (
        f"{mount.mountpoint} is already a mount point (of {mount.source}); "
        f"unmount it first: ossfs-resume umount {quoted(mount.mountpoint)}"
    )


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


def _check_writable(path: str) -> None:
    """fusermount3 covers what its user could have changed, and nothing else."""
    status = os.stat(path)
    is_anothers = status.st_mode & stat.S_ISVTX and status.st_uid != os.getuid()
    if is_anothers or not os.access(path, os.W_OK):
        raise MountError(f"{path} may not be written by you; mount on a directory of your own")


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
    """Users mount with fusermount3, which writes their names beside their mounts, and unmounts only
    what it finds in its table."""
    if not has_helper():
        raise MountError("fusermount3 is missing, users mount with it; install the package fuse3")
    user = os.getuid()
    try:
        pwd.getpwuid(user)
    except KeyError:
        raise MountError(
            f"user {user} has no name, and fusermount3 mounts for nobody without; give it one (as"
            f" root: echo me:x:{user}:{os.getgid()}::/:/bin/sh >>/etc/passwd), or mount as root"
        ) from None
    if _NO_NEW_PRIVILEGES in _STATUS.read_text(errors="replace"):
        raise MountError(
            "fusermount3 gets no privileges here; leave out no-new-privileges (docker"
            " --security-opt, NoNewPrivileges= of a service), or mount as root"
        )
    lack = what_table_lacks()
    if lack:
        raise MountError(f"{TABLE_OF_HELPER} {lack}, so fusermount3 cannot unmount; {TABLE_REMEDY}")


def what_table_lacks() -> str:
    """What is wrong with the table of fusermount3, empty if nothing is.

    A file that is no link into /proc does not show what is mounted now.
    """
    try:
        with open(TABLE_OF_HELPER, "rb"):
            is_of_kernel = os.path.realpath(TABLE_OF_HELPER).startswith("/proc/")
    except FileNotFoundError:
        return "does not exist"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "" if is_of_kernel else "is not the kernel's list of mounts"


def check_allow_other(configuration: Path) -> None:
    try:
        lines = configuration.read_text(errors="surrogateescape").splitlines()
    except OSError:
        lines = []
    if "user_allow_other" not in (line.strip() for line in lines):
        raise MountError(
            f"allow_other is reserved for root; put the line user_allow_other into {configuration}"
        )
