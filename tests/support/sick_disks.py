"""File systems of their own in image files, and what may happen to a disk."""

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from support.machine import NO_LOOP_DEVICE, NO_ROOT, has_loop_device, is_root

MIB = 1 << 20
_SHUT_DOWN = 0x8004587D
"""XFS_IOC_GOINGDOWN, which ext4 takes as EXT4_IOC_SHUTDOWN."""
_WITHOUT_LOG = 2

SIZES = {"ext4": 128 * MIB, "btrfs": 144 * MIB, "xfs": 320 * MIB}
"""Bytes of an image of each kind; XFS takes no less, btrfs not much less."""
_MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-m", "0"],
    "btrfs": ["mkfs.btrfs", "-q", "--mixed", "--metadata", "single", "--data", "single"],
    "xfs": ["mkfs.xfs", "-q"],
}

_OPTIONS = {"ext4": ("errors=remount-ro",)}


def missing(kind: str) -> str:
    """Why no image of this kind can be made and mounted here, empty if it can."""
    if not is_root():
        return NO_ROOT
    if not has_loop_device():
        return NO_LOOP_DEVICE
    if not shutil.which(_MAKE[kind][0]):
        return f"{_MAKE[kind][0]} is not installed"
    if f"\t{kind}\n" not in Path("/proc/filesystems").read_text():
        return f"the kernel has no {kind}"
    return ""


class Disk:
    """A file system in the file ``image``, mounted at ``point`` by `attach`."""

    def __init__(self, kind: str, image: Path, point: Path, size: int = 0) -> None:
        self.kind = kind
        self.image = image
        self.point = point
        with image.open("wb") as file:
            file.truncate(size or SIZES[kind])
        subprocess.run([*_MAKE[kind], image], check=True, capture_output=True)
        point.mkdir(exist_ok=True)

    def attach(self, *options: str) -> None:
        """Mount it."""
        options = ("loop", *_OPTIONS.get(self.kind, ()), *options)
        command = ["mount", "-o", ",".join(options), self.image, self.point]
        subprocess.run(command, check=True, capture_output=True, text=True)

    def detach(self) -> None:
        """Unmount it for everybody who looks now; who has a file open keeps that."""
        subprocess.run(["umount", "-l", self.point], check=False, capture_output=True)

    def fill(self) -> None:
        """Another program takes all the room there is, and it is all on the medium."""
        self._sync()
        with suppress(OSError), self._ballast.open("ab", buffering=0) as ballast:
            for size in (MIB, 4096):
                with suppress(OSError):
                    while True:
                        ballast.write(bytes(size))
        self._sync()

    def _sync(self) -> None:
        """Clean pages need the disk again when they are written to, even those that are mapped."""
        subprocess.run(["sync", "-f", self.point], check=False, capture_output=True)

    def empty(self) -> None:
        """That program gives it back."""
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.point / "ballast"

    def shut_down(self) -> bool:
        """Every later access fails; False if this kind of file system cannot be told to."""
        self._sync()
        descriptor = os.open(self.point, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUT_DOWN, struct.pack("I", _WITHOUT_LOG))
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    def make_read_only(self) -> bool:
        """False if that cannot be done while a file is open for writing, as of ext4 it can."""
        try:
            self._remount("ro")
        except subprocess.CalledProcessError:
            if self.kind != "ext4":
                return False
            device = os.path.basename(_loop_device(self.point))
            Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("made read-only")
        return True

    def make_writable(self) -> None:
        """Take `make_read_only` back."""
        self._remount("rw")

    def _remount(self, option: str) -> None:
        command = ["mount", "-o", f"remount,{option}", self.point]
        subprocess.run(command, check=True, capture_output=True)

    def cut(self, size: int = MIB) -> None:
        """The medium is suddenly smaller; what was in memory of it is forgotten."""
        self._sync()
        os.truncate(self.image, size)
        drop_caches()


def _loop_device(point: Path) -> str:
    command = ["findmnt", "-n", "-o", "SOURCE", point]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def drop_caches() -> None:
    """Forget all clean pages, names and inodes of this machine."""
    Path("/proc/sys/vm/drop_caches").write_text("3")


def set_immutable(path: Path, is_immutable: bool, options: Sequence[str] = ()) -> None:
    """``chattr +i`` or ``-i``: nobody, root included, changes the file or directory."""
    sign = "+" if is_immutable else "-"
    subprocess.run(["chattr", *options, f"{sign}i", path], check=True, capture_output=True)
