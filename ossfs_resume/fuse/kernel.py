"""Limits of the kernel that are wrong for a slow origin, changed after mounting.

``read_ahead_kb`` decides the size of buffered requests: 128 KiB by default, and the cost of a
request is ours. ``max_background`` (12) is the number of read-ahead requests of the whole mount: 12
stalled ones and every buffered read hangs, of cached files too. ``congestion_threshold`` (9) makes
read-ahead stop earlier.

libfuse cannot set them after INIT and pyfuse3 not at INIT, so they are written to sysfs and to
fusectl, the file system that is usually mounted on /sys/fs/fuse/connections. Where it is not, root
makes a mount of its own that is attached nowhere (fsmount(2), Linux 5.2) and ends with its
descriptor: no directory, no namespace, nothing to clean up after a crash.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CONNECTIONS = "/sys/fs/fuse/connections"

# System call numbers are the same on every architecture since Linux 5.0 (alpha excepted); glibc
# has wrappers only from 2.36 on.
_SYS_FSOPEN: Final = 430
_SYS_FSCONFIG: Final = 431
_SYS_FSMOUNT: Final = 432
_FSOPEN_CLOEXEC: Final = 1
_FSMOUNT_CLOEXEC: Final = 1
_FSCONFIG_CMD_CREATE: Final = 6

_SMALLEST_BACKGROUND = 64


@dataclass(frozen=True, slots=True)
class KernelReport:
    """What the kernel has now, None where it does not say; with a warning for each limit that could
    not be changed and that somebody could do something about."""

    read_ahead_kib: int | None
    max_background: int | None
    warnings: tuple[str, ...] = ()

    def document(self) -> dict[str, int | list[str] | None]:
        """The numbers and the warnings, by name."""
        return {
            "read_ahead_kib": self.read_ahead_kib,
            "max_background": self.max_background,
            "warnings": list(self.warnings),
        }


def raise_limits(
    major: int, minor: int, *, read_ahead_kib: int, max_background: int
) -> KernelReport:
    """Set the limits of the mount with this device number. Blocking; never raises OSError."""
    warnings: list[str] = []
    read_ahead = Path(f"/sys/class/bdi/{major}:{minor}/read_ahead_kb")
    try:
        _write(read_ahead, read_ahead_kib)
    except PermissionError:
        pass  # root alone may
    except OSError as error:
        warnings.append(f"kernel read-ahead stays at its default ({error.strerror}): slower copies")
    try:
        achieved_background = _raise_background(minor, max_background)
    except OSError as error:
        achieved_background = None
        warnings.append(
            f"max_background stays at its default ({error.strerror}): "
            "about 12 stalled reads hold up all reads of this mount"
        )
    return KernelReport(_read(read_ahead), achieved_background, tuple(warnings))


def abort_connection(minor: int) -> bool:
    """Make the kernel answer every request of this mount with ECONNABORTED; False if it may not.

    To be called only while nothing can get the number of that mount.
    """
    abort = open_abort(minor)
    if abort is None:
        return False
    with open(abort, "wb", buffering=0) as file:
        file.write(b"1\n")
    return True


def open_abort(minor: int) -> int | None:
    """A descriptor that cuts the connection of this mount, and never another one, once anything is
    written to it: the kernel takes the file's meaning away when the connection ends. None if that
    may not be done here."""
    try:
        with _connection(minor) as directory:
            return os.open("abort", os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return None


def _raise_background(minor: int, wanted: int) -> int:
    with _connection(minor) as directory:
        while True:
            try:
                _write_at(directory, "max_background", wanted)
                _write_at(directory, "congestion_threshold", wanted)
                return wanted
            except OSError:
                # Users other than root have a lower ceiling (module parameter max_user_bgreq),
                # told only by EINVAL.
                if wanted // 2 < _SMALLEST_BACKGROUND:
                    raise
                wanted //= 2


@contextmanager
def _connection(minor: int) -> Iterator[int]:
    """The fusectl directory of a connection, which is named by its device number."""
    try:
        root = os.open(_CONNECTIONS, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            directory = _open_directory(root, str(minor))
        finally:
            os.close(root)
    except FileNotFoundError:
        root = _mount_fusectl()
        try:
            directory = _open_directory(root, str(minor))
        finally:
            os.close(root)
    try:
        yield directory
    finally:
        os.close(directory)


def _open_directory(parent: int, name: str) -> int:
    return os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)


def _mount_fusectl() -> int:
    """A descriptor of fusectl's root, mounted nowhere. Raises OSError (EPERM unless root)."""
    context = _system_call(_SYS_FSOPEN, b"fusectl", _FSOPEN_CLOEXEC)
    try:
        _system_call(_SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0)
        return _system_call(_SYS_FSMOUNT, context, _FSMOUNT_CLOEXEC, 0)
    finally:
        os.close(context)


def _system_call(number: int, *arguments: int | bytes | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _write(path: Path, value: int) -> None:
    path.write_text(f"{value}\n")


def _write_at(directory: int, name: str, value: int) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.write(descriptor, b"%d\n" % value)
    finally:
        os.close(descriptor)
