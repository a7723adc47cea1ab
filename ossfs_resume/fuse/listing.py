"""A portion of a listing as the kernel wants it.

A million names pass through here one by one, hence one ``EntryAttributes`` for all plain files, of
which only what differs is set anew: no function of ours is called for a name.
"""

import pyfuse3

from ossfs_resume.fuse.attributes import (
    NANOSECONDS,
    STAT_BLOCK_BYTES,
    Ownership,
    entry_attributes,
    file_entry,
)
from ossfs_resume.fuse.interfaces import Portion


def reply(token: pyfuse3.ReaddirToken, portion: Portion, ownership: Ownership) -> int:
    """Hand over as many entries as the kernel takes, and say how many that are."""
    add = pyfuse3.readdir_reply
    file = file_entry(ownership, portion.valid_s, portion.attributes_valid_s)
    modified_s, others, offset, first = (
        -1,
        portion.others,
        portion.first_offset,
        portion.first_offset,
    )
    for name, inode, size, allocated, modified in zip(
        portion.names,
        portion.inodes,
        portion.sizes,
        portion.allocated_bytes,
        portion.modified_s,
        strict=True,
    ):
        if offset - first in others:
            attributes, valid_s = others[offset - first]
            entry = entry_attributes(attributes, ownership, valid_s)
        else:
            entry = file
            entry.st_ino = inode
            entry.st_size = size
            entry.st_blocks = -(-allocated // STAT_BLOCK_BYTES) or size > 0
            if modified != modified_s:
                modified_s = modified
                entry.st_mtime_ns = entry.st_ctime_ns = entry.st_atime_ns = modified * NANOSECONDS
        offset += 1
        if not add(token, name, entry, offset):
            return offset - first - 1
    return offset - first
