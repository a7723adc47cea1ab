"""Attributes of the tree as the kernel wants them; those of listings in `listing`."""

import os
import stat
from dataclasses import dataclass, field

import pyfuse3

from ossfs_resume.fuse.interfaces import Attributes

# stat(2) counts st_blocks in units of 512 bytes, whatever st_blksize says.
STAT_BLOCK_BYTES = 512
_PREFERRED_IO_BYTES = 128 * 1024
_NAME_MAX_BYTES = 255
NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who owns every file, its permissions, and those taken away (an octal umask).

    The members of ``control_group``, if there is one, own every file in the place of ``gid`` and
    may set attributes of it.
    """

    uid: int
    gid: int
    umask: int = 0o022
    file_mode: int = 0o644
    dir_mode: int = 0o755
    control_group: int | None = None

    group: int = field(init=False, repr=False)
    """The group of every file."""
    mode_of_files: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # A million names are told of them.
        group = self.gid if self.control_group is None else self.control_group
        object.__setattr__(self, "group", group)
        object.__setattr__(self, "mode_of_files", stat.S_IFREG | self._permitted(self.file_mode))

    def mode(self, attributes: Attributes) -> int:
        """File type and permissions.

        Files are writable for their owner although nothing can be written: with 0444 the kernel
        refuses the owner's setxattr before we see it, and ``cp -r`` makes copies that cannot be
        removed. A directory that may not be listed has only its search bits.
        """
        if attributes.is_link:
            return stat.S_IFLNK | 0o777
        if not attributes.is_directory:
            return self.mode_of_files
        return stat.S_IFDIR | self._permitted(
            self.dir_mode if attributes.listable else self.dir_mode & 0o111
        )

    def _permitted(self, permissions: int) -> int:
        left = permissions & ~self.umask
        return left if self.control_group is None else left | stat.S_IWGRP


def entry_attributes(
    attributes: Attributes, ownership: Ownership, entry_valid_s: float = 0.0
) -> pyfuse3.EntryAttributes:
    """Fresh attributes for the kernel; ``entry_valid_s`` is the lifetime of the name."""
    entry = file_entry(ownership, entry_valid_s, attributes.valid_s)
    entry.st_ino = attributes.inode
    entry.st_size = attributes.size
    # Never 0 for a non-empty file: tar --sparse archives one as zeros without reading it.
    entry.st_blocks = -(-attributes.allocated_bytes // STAT_BLOCK_BYTES) or attributes.size > 0
    entry.st_mtime_ns = entry.st_ctime_ns = entry.st_atime_ns = attributes.modified_ns
    if attributes.is_directory or attributes.is_link:
        entry.st_mode = ownership.mode(attributes)
    return entry


def file_entry(
    ownership: Ownership, entry_valid_s: float, valid_s: float
) -> pyfuse3.EntryAttributes:
    """What all regular files have in common; ``valid_s`` is the lifetime of the attributes."""
    entry = pyfuse3.EntryAttributes()
    entry.st_mode = ownership.mode_of_files
    entry.st_nlink = 1
    entry.st_uid = ownership.uid
    entry.st_gid = ownership.group
    entry.st_blksize = _PREFERRED_IO_BYTES
    entry.entry_timeout = entry_valid_s
    entry.attr_timeout = valid_s
    return entry


def absent_entry(valid_s: float) -> pyfuse3.EntryAttributes:
    """The answer that lets the kernel remember for ``valid_s`` seconds that a name is absent.

    Inode 0 means "no such name"; an ENOENT error means the same but is not remembered.
    """
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = 0
    entry.entry_timeout = valid_s
    return entry


def space(stats: os.statvfs_result) -> pyfuse3.StatvfsData:
    """The cache disk's space as that of the mount."""
    data = pyfuse3.StatvfsData()
    data.f_bsize, data.f_frsize = stats.f_bsize, stats.f_frsize
    data.f_blocks, data.f_bfree, data.f_bavail = stats.f_blocks, stats.f_bfree, stats.f_bavail
    data.f_files, data.f_ffree, data.f_favail = stats.f_files, stats.f_ffree, stats.f_favail
    data.f_namemax = _NAME_MAX_BYTES
    return data
