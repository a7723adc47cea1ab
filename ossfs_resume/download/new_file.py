"""A file that has no name before it is whole: what a crash leaves of it goes by itself.

Where the file system cannot make such files (O_TMPFILE: NFS, FAT, old overlayfs), it has a name of
its own until then, which a crash leaves behind.
"""

import errno
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ossfs_resume.download.places import PART_SUFFIX
from ossfs_resume.download.target import Target
from ossfs_resume.oss.models import ObjectMeta

_NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)


class NewFile:
    """Made in the directory of ``target``. Methods block and raise OSError."""

    def __init__(self, target: Target) -> None:
        self._path = target.path
        self._name: Path | None = None
        self.descriptor = self._open()

    def write(self, chunks: Iterable[bytes | memoryview], target: Target, meta: ObjectMeta) -> None:
        """All its bytes, mode and time."""
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[os.write(self.descriptor, view) :]
        target.dress(self.descriptor, meta, is_private=False)

    def publish(self) -> None:
        """Give it the target's name; whatever had that is replaced. Its bytes are on the disk."""
        if self._name is None:
            with suppress(FileExistsError):
                self._link(self._path)
                return
            name = self._unused_name()
            self._link(name)
            self._name = name
        os.rename(self._name, self._path)
        self._name = None

    def close(self) -> None:
        """Let go of it; it is lost if it was not published."""
        os.close(self.descriptor)
        if self._name is not None:
            with suppress(OSError):
                self._name.unlink()

    def _open(self) -> int:
        folder = self._path.parent
        try:
            return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if error.errno not in _NO_TMPFILE:
                raise
        name = self._unused_name()
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._name = name
        return descriptor

    def _link(self, name: Path) -> None:
        # Without a descriptor of a directory, which an absolute path makes no use of, Python calls
        # link(2), which makes a name of the link in /proc.
        source, unused = f"/proc/self/fd/{self.descriptor}", self.descriptor
        os.link(source, name, src_dir_fd=unused, follow_symlinks=True)

    def _unused_name(self) -> Path:
        return self._path.with_name(f".{secrets.token_hex(8)}{PART_SUFFIX}")
