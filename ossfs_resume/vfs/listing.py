"""One pass through a directory: its entries as far as its pages have been read."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from ossfs_resume.oss.columns import Objects
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.oss.paging import Trail
from ossfs_resume.vfs.inodes import InodeTable
from ossfs_resume.vfs.metadata_requests import SharedCall
from ossfs_resume.vfs.names import NameMerger, NamesDigest, Source, decode
from ossfs_resume.vfs.nodes import NEVER, DirectoryNode, FileNode, Node, current
from ossfs_resume.vfs.page import Columns, Page
from ossfs_resume.vfs.shared import NANOSECONDS

Place = tuple[Page, int]
"""A row of a page."""


class Listing:
    """Entries in the order in which they became certain, which is the order they are read in.

    Entries are only ever added at the end, so that the index of an entry stays valid for every
    reader. ``paging`` is the request for the next page, shared by all of them.
    """

    def __init__(self, node: DirectoryNode, table: InodeTable, started_at: float) -> None:
        self.pages: list[Page] = []
        """What each page of the origin made certain; an empty one for none."""
        self.count = 0
        """Entries."""
        self.token = ""
        self.packed: list[bytes] = []
        """The pages as they are kept beyond this mount, until the listing is complete."""
        self.is_complete = False
        self.started_at = started_at
        self.paging: SharedCall[None] | None = None
        self.wanted = 0
        """The highest index that a reader has asked for,"""
        self.wanted_pages = 0
        """and how many pages there were when somebody last asked."""
        self.trail = Trail()
        """Follows the pages as the origin sent them; what is absorbed lacks symlinks to nothing."""
        self._node = node
        self._table = table
        self._merger = NameMerger(node.prefix)
        self._digest = NamesDigest()
        self._starts: list[int] = []
        self._last_names: list[bytes] = []
        """For each page the greatest name up to its end,"""
        self._stragglers: dict[bytes, Place] = {}
        """and the entries that came behind a greater one of an earlier page: few."""

    def __repr__(self) -> str:
        state = "complete" if self.is_complete else "partial"
        return f"<Listing {self._node.prefix!r} {state} names={self.count}>"

    def absorb(self, page: ListPage, now: float, now_ns: int) -> tuple[Page, list[bytes]]:
        """Take the next page, which was asked for at ``now``; return what it added, and the names
        of that."""
        names, sources = self._merger.add(page)
        names, sources = self._without_known(names, sources)
        added = Page(self._node.prefix, names, Columns.of(page.objects, sources), now)
        self._make_nodes(added, names, sources, page.objects, now_ns)
        self._table.number(added, names)
        self._append(added, names)
        self._digest.add(names)
        self.token = page.next_token
        self.is_complete = not page.next_token
        if self._merger.marker is not None:
            self._node.saw_marker(self._merger.marker.modified * NANOSECONDS)
        if self.is_complete:
            self._node.saw_names(self._digest.value(), now_ns)
        return added, names

    def has_passed(self, name: bytes) -> bool:
        """Whether an entry of this name would be here by now."""
        return self._merger.has_passed(name)

    def take_hidden(self) -> list[str]:
        """Keys met since the last call that no path can express."""
        return self._merger.take_hidden()

    def at(self, index: int) -> Place:
        """Where the entry of an index is."""
        number = bisect_right(self._starts, index) - 1
        return self.pages[number], index - self._starts[number]

    def place(self, name: bytes) -> Place | None:
        """Where a name is."""
        number = bisect_left(self._last_names, name)
        if number < len(self.pages):
            row = self.pages[number].row(name)
            if row is not None:
                return self.pages[number], row
        return self._stragglers.get(name)

    def known_place(self, name: bytes) -> Place | None:
        """The same of a name if there may be a node of it, or the kernel may know it."""
        number = bisect_left(self._last_names, name)
        if number < len(self.pages) and not self._stragglers:
            page = self.pages[number]
            if not (page.told or page.nodes):
                return None
        return self.place(name)

    def __contains__(self, name: bytes) -> bool:
        return self.place(name) is not None

    def find(self, name: bytes) -> Node | None:
        """The node of a name."""
        place = self.place(name)
        return None if place is None else self._table.node(*place, name)

    def node_at(self, index: int) -> Node:
        """The node of the entry of an index."""
        return self._table.node(*self.at(index))

    def files(self) -> Iterator[tuple[int, int]]:
        """The inode of each file that is listed, and its index."""
        for start, page in zip(self._starts, self.pages, strict=True):
            for row, inode in enumerate(page.inodes):
                node = page.nodes.get(row)
                if node is None:
                    yield inode, start + row
                elif isinstance(node := current(node), FileNode):
                    yield node.inode, start + row

    def known_nodes(self) -> Iterator[tuple[bytes, Node]]:
        """The names whose nodes somebody has, or the kernel was told of, and those."""
        for page in self.pages:
            if page.told or page.nodes:
                for row, name in enumerate(page.names()):
                    node = self._table.known_node(page, row)
                    if node is not None:
                        yield name, node

    def disbelieve(self) -> list[int]:
        """Doubt all rows; the inodes of those without a node that the kernel knows."""
        self.started_at = NEVER
        told: list[int] = []
        for page in self.pages:
            page.confirmed_at, page.doubted = NEVER, True
            told += self._table.told_rows(page)
        return told

    def _append(self, page: Page, names: Sequence[bytes]) -> None:
        last = self._last_names[-1] if self._last_names else b""
        if self._last_names and names and min(names) <= last:
            self._stragglers.update(
                (name, (page, row)) for row, name in enumerate(names) if name <= last
            )
        self._starts.append(self.count)
        self._last_names.append(max(last, max(names, default=b"")))
        self.pages.append(page)
        self.count += page.count

    def _without_known(
        self, names: list[bytes], sources: Sequence[Source]
    ) -> tuple[list[bytes], Sequence[Source]]:
        """An origin out of its mind may name the same twice; the first counts."""
        last = self._last_names[-1] if self._last_names else b""
        is_behind = not self._last_names or not names or min(names) > last
        if is_behind and len(set(names)) == len(names):
            return names, sources
        left: dict[bytes, Source] = {}
        for name, source in zip(names, sources, strict=True):
            if name not in left and name not in self:
                left[name] = source
        return list(left), list(left.values())

    def _make_nodes(
        self,
        page: Page,
        names: Sequence[bytes],
        sources: Sequence[Source],
        objects: Sequence[ObjectMeta],
        now_ns: int,
    ) -> None:
        """For what is no plain file."""
        are_plain = isinstance(objects, Objects)
        for row, source in enumerate(sources):
            if source is None:
                page.nodes[row] = self._directory(names[row], page.confirmed_at, now_ns)
                continue
            if are_plain and isinstance(source, int):
                continue
            meta = objects[source] if isinstance(source, int) else source
            if not _is_plain(meta, page.prefix, names[row]):
                file = page.nodes[row] = self._table.file(meta)
                file.confirm(meta, page.confirmed_at)

    def _directory(self, name: bytes, now: float, now_ns: int) -> DirectoryNode:
        directory = self._table.directory(self._node.prefix + decode(name) + "/", now_ns)
        if now > NEVER:
            directory.confirmed_at, directory.listable = now, True
        return directory


def _is_plain(meta: ObjectMeta, prefix: str, name: bytes) -> bool:
    """Whether a row says all of it: no shadow, no symlink, nothing that only a HEAD tells."""
    is_listed = meta.crc64 is None and not meta.version_id and meta.access == "current"
    return is_listed and not meta.link and meta.key == prefix + decode(name)
