"""Open directories: each handle reads one listing from its start to its end."""

from itertools import count

import trio

from ossfs_resume.errors import StaleVersion
from ossfs_resume.vfs.attributes import AttributeReader
from ossfs_resume.vfs.directory import Directory
from ossfs_resume.vfs.inodes import InodeTable
from ossfs_resume.vfs.listing import Listing
from ossfs_resume.vfs.models import Listed
from ossfs_resume.vfs.nodes import DirectoryNode, current

BATCH_NAMES = 1000
"""Entries prepared at a time, so that a thousand names cost one question to the cache; the kernel
takes them in smaller portions."""


class DirectoryReader:
    """One handle: its place in a listing, and the batch of entries prepared last."""

    def __init__(self, directory: Directory, attributes: AttributeReader) -> None:
        self.node: DirectoryNode = directory.node
        self._directory = directory
        self._attributes = attributes
        self._listing: Listing | None = None
        self._batch: list[Listed] = []
        self._batch_start = 0

    def __repr__(self) -> str:
        return f"<DirectoryReader {self._directory.node.prefix!r} {self._listing!r}>"

    async def read(self, offset: int, limit: int) -> list[Listed]:
        """At most ``limit`` entries from ``offset`` on; none at the end. Raises OriginError."""
        if offset == 0 or self._listing is None:
            self._listing = await self._directory.listings.young()
        if offset == 0 or not 0 <= offset - self._batch_start < len(self._batch):
            self._batch = await self._prepare(self._listing, offset)
            self._batch_start = offset
        self.node.read_at = trio.current_time()
        start = offset - self._batch_start
        return self._batch[start : start + limit]

    async def _prepare(self, listing: Listing, offset: int) -> list[Listed]:
        await self._directory.listings.reach(listing, offset)
        names = listing.names[offset : offset + BATCH_NAMES]
        nodes = [current(listing.nodes[name]) for name in names]
        attributes = await self._attributes.of(nodes)
        offsets = range(offset + 1, offset + len(names) + 1)
        return list(map(Listed, names, attributes, offsets, self._directory.valid_s(nodes)))


class DirectoryReaders:
    """All open directory handles, by number."""

    def __init__(self, table: InodeTable) -> None:
        self._table = table
        self._readers: dict[int, DirectoryReader] = {}
        self._numbers = count(1)

    def __len__(self) -> int:
        return len(self._readers)

    def add(self, reader: DirectoryReader) -> int:
        """A handle for this reader; its directory stays known until the handle is closed."""
        handle = next(self._numbers)
        self._readers[handle] = reader
        self._table.opened(reader.node)
        return handle

    def get(self, handle: int) -> DirectoryReader:
        """The reader of a handle. Raises StaleVersion if it is not open."""
        reader = self._readers.get(handle)
        if reader is None:
            raise StaleVersion(f"directory handle {handle} is not open")
        return reader

    def close(self, handle: int) -> None:
        """Close a handle."""
        reader = self._readers.pop(handle, None)
        if reader is not None:
            self._table.closed(reader.node)
