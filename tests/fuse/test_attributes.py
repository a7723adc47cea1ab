"""Attributes arrive at the kernel as promised."""

import os
import stat
from types import ModuleType

import pytest

from ossfs_resume.fuse.attributes import Ownership, absent_entry, entry_attributes, space

OWNER = Ownership(uid=7, gid=8, umask=0o027)


def test_a_file(memory: ModuleType) -> None:
    attributes = memory.MemoryAttributes(5, False, 10_000, 4096, 1_000_000_007, 1.5)
    entry = entry_attributes(attributes, OWNER, 60.0)
    assert entry.st_ino == 5
    assert entry.st_mode == stat.S_IFREG | 0o640
    assert (entry.st_uid, entry.st_gid, entry.st_nlink) == (7, 8, 1)
    assert entry.st_size == 10_000
    assert entry.st_blksize == 128 * 1024
    assert entry.st_blocks == 8
    assert entry.st_mtime_ns == entry.st_ctime_ns == entry.st_atime_ns == 1_000_000_007
    assert (entry.entry_timeout, entry.attr_timeout) == (60.0, 1.5)


def test_a_symbolic_link(memory: ModuleType) -> None:
    attributes = memory.MemoryAttributes(5, False, 7, is_link=True)
    assert entry_attributes(attributes, OWNER).st_mode == stat.S_IFLNK | 0o777


@pytest.mark.parametrize(("listable", "mode"), [(True, 0o750), (False, 0o110)])
def test_a_directory(memory: ModuleType, listable: bool, mode: int) -> None:
    attributes = memory.MemoryAttributes(5, True, listable=listable)
    assert entry_attributes(attributes, OWNER).st_mode == stat.S_IFDIR | mode


@pytest.mark.parametrize(
    ("size", "allocated", "blocks"),
    [(0, 0, 0), (1, 0, 1), (1 << 40, 0, 1), (1000, 1, 1), (1000, 1000, 2), (1024, 1024, 2)],
)
def test_blocks_are_rounded_up_and_never_zero_for_content(
    memory: ModuleType, size: int, allocated: int, blocks: int
) -> None:
    attributes = memory.MemoryAttributes(5, False, size, allocated)
    assert entry_attributes(attributes, OWNER).st_blocks == blocks


def test_an_absent_name_has_inode_zero_and_a_lifetime() -> None:
    entry = absent_entry(5.0)
    assert (entry.st_ino, entry.entry_timeout) == (0, 5.0)


def test_space_is_that_of_the_disk() -> None:
    stats = os.statvfs("/")
    data = space(stats)
    assert (data.f_blocks, data.f_frsize, data.f_namemax) == (stats.f_blocks, stats.f_frsize, 255)
