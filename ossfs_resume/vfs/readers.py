"""Open directories: each handle reads one listing from its start to its end."""

from collections.abc import Mapping
from itertools import count

import trio

from ossfs_resume.errors import StaleVersion
from ossfs_resume.vfs.attributes import AttributeReader
from ossfs_resume.vfs.directory import Directory
from ossfs_resume.vfs.inodes import InodeTable
from ossfs_resume.vfs.listing import Listing
from ossfs_resume.vfs.models import Portion
from ossfs_resume.vfs.nodes import DirectoryNode, current
from ossfs_resume.vfs.page import Page
from ossfs_resume.vfs.presence import NOTHING, Present

END = Portion(0, (), (), (), (), (), {}, 0.0, 0.0)


class DirectoryReader:
    """One handle: its place in a listing, and the page that it reads, prepared."""

    def __init__(
        self, directory: Directory, attributes: AttributeReader, table: InodeTable
    ) -> None:
        self.node: DirectoryNode = directory.node
        self._directory = directory
        self._attributes = attributes
        self._table = table
        self._listing: Listing | None = None
        self._page: Page | None = None
        self._first = 0
        self._names: list[bytes] = []
        self._present: Mapping[int, Present] = {}
        self._allocated: list[int] = []
        """The page that it reads, the index of its first entry, its names, what is cached of them,
        and what is to be shown of that."""

    def __repr__(self) -> str:
        return f"<DirectoryReader {self._directory.node.prefix!r} {self._listing!r}>"

    async def read(self, offset: int, limit: int) -> Portion:
        """At most ``limit`` entries from ``offset`` on; none at the end. Raises OriginError."""
        if offset == 0 or self._listing is None:
            self._listing = await self._directory.listings.young()
        if offset == 0 or not 0 <= offset - self._first < len(self._names):
            await self._prepare(self._listing, offset)
        self.node.read_at = trio.current_time()
        if self._page is None:
            return END
        start = offset - self._first
        return self._portion(self._page, range(start, min(start + limit, self._page.count)))

    async def _prepare(self, listing: Listing, offset: int) -> None:
        """Have the page with the entry ``offset`` at hand."""
        await self._directory.listings.reach(listing, offset)
        if offset >= listing.count:
            self._page, self._names = None, []
            return
        page, row = listing.at(offset)
        self._present = await self._attributes.present(page)
        self._allocated = self._attributes.allocated(page, self._present)
        self._page, self._first, self._names = page, offset - row, page.names()

    def _portion(self, page: Page, rows: range) -> Portion:
        """Some rows of it, as they are at this moment."""
        self._table.settle(page, rows)
        part = slice(rows.start, rows.stop)
        valid_s = self._directory.valid_s(page)
        others = {
            row - rows.start: (self._attributes.of_row(page, row, present), valid_s)
            for row, present in self._present.items()
            if present.is_live and row in rows
        }
        for row in page.nodes.keys() & set(rows) if page.nodes else ():
            node = current(page.nodes[row])
            attributes = self._attributes.of_node(node, self._present.get(row, NOTHING))
            others[row - rows.start] = attributes, self._directory.valid_s(node)
        return Portion(
            self._first + rows.start,
            self._names[part],
            page.inodes[part],
            page.columns.sizes[part],
            self._allocated[part],
            page.columns.modified[part],
            others,
            valid_s,
            self._attributes.valid_s,
            (page, rows.start),
        )

    def tell(self, portion: Portion, taken: int) -> None:
        """The kernel took so many entries of what `read` gave, and holds them."""
        if isinstance(portion.place, tuple):
            page, start = portion.place
            self._table.tell(page, range(start, start + taken))


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
