"""Attributes of nodes, and of the rows of a page."""

from collections.abc import Callable, Mapping

import trio

from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.vfs.handles import OpenFiles
from ossfs_resume.vfs.models import Attributes
from ossfs_resume.vfs.nodes import DirectoryNode, FileNode, Node, version_of
from ossfs_resume.vfs.page import Page
from ossfs_resume.vfs.presence import NOTHING, Presence, Present
from ossfs_resume.vfs.shared import NANOSECONDS

BUSY_VALID_S = 1.0
"""Attributes of a file that may be growing in the cache are shown anew every second."""

LEAST_ALLOCATED_BYTES = 512
"""One block. tar -S archives a file of zero blocks as zeros, without reading it."""


class AttributeReader:
    """Joins what a node, or a row of a page, says with what the cache holds of it."""

    def __init__(self, presence: Presence, files: OpenFiles, metadata_ttl_s: float) -> None:
        self._presence = presence
        self._files = files
        self._ttl_s = metadata_ttl_s

    @property
    def valid_s(self) -> float:
        """How long the kernel may keep the attributes of a file that nobody is fetching."""
        return self._ttl_s

    async def of(self, node: Node) -> Attributes:
        """The attributes of a node."""
        if isinstance(node, DirectoryNode):
            return self._of_directory(node)
        if node.handles and node.meta.size:
            return self._of_file(node, self._live(node))
        if not node.meta.size:
            return self._of_file(node, NOTHING)
        return self._of_file(node, await self._presence.of(version_of(node.meta)))

    def at_once(self, page: Page, row: int, node: Node | None, name: bytes) -> Attributes | None:
        """The attributes of a row, which may have a node, and of its name, if nobody need be asked
        for them."""
        if isinstance(node, DirectoryNode):
            return self._of_directory(node)
        if node is not None:
            return self._of_file_at_once(node, page.prefix)
        key = page.prefix + name.decode("utf-8", "surrogateescape")
        columns = page.columns
        size = columns.sizes[row]
        present = self._presence.at_once(page.prefix, ObjectVersion(key, columns.etags[row], size))
        if present is None:
            return None
        modified_s = columns.modified[row]
        return self._of(page.inodes[row], size, modified_s, present, is_link=False)

    def _of_file_at_once(self, node: FileNode, prefix: str) -> Attributes | None:
        meta = node.meta
        if node.handles and meta.size:
            return self._of_file(node, self._live(node))
        version = ObjectVersion(meta.key, meta.etag, meta.size)
        present = self._presence.at_once(prefix, version)
        return None if present is None else self._of_file(node, present)

    async def present(self, page: Page) -> Mapping[int, Present]:
        """What is cached of the rows of a page; of most there is nothing."""
        present, sizes = await self._presence.of_page(page), page.columns.sizes
        page.whole = {row for row, each in present.items() if each.size == sizes[row]}
        return present

    def allocated(self, page: Page, present: Mapping[int, Present]) -> list[int]:
        """What each row of a page is to be shown to take, if it is a file."""
        allocated = [LEAST_ALLOCATED_BYTES if size else 0 for size in page.columns.sizes]
        for row, each in present.items():
            allocated[row] = max(each.size, allocated[row])
        return allocated

    def of_row(self, page: Page, row: int, present: Present) -> Attributes:
        """The attributes of a file that has no node."""
        columns = page.columns
        return self._of(
            page.inodes[row], columns.sizes[row], columns.modified[row], present, is_link=False
        )

    def of_node(self, node: Node, present: Present) -> Attributes:
        """The attributes of a node; ``present`` counts unless it is open."""
        if isinstance(node, DirectoryNode):
            return self._of_directory(node)
        is_open = node.handles and node.meta.size
        return self._of_file(node, self._live(node) if is_open else present)

    def _live(self, node: FileNode) -> Present:
        return Present(self._files.present_bytes(node), True)

    def _of_directory(self, node: DirectoryNode) -> Attributes:
        return Attributes(
            inode=node.inode,
            is_directory=True,
            size=0,
            allocated_bytes=0,
            modified_ns=node.modified_ns,
            valid_s=self._ttl_s if node.listable else 0.0,
            listable=node.listable,
        )

    def _of_file(self, node: FileNode, present: Present) -> Attributes:
        meta = node.meta
        node.was_cached = present.size >= meta.size
        return self._of(node.inode, meta.size, meta.modified, present, is_link=bool(meta.link))

    def _of(
        self, inode: int, size: int, modified_s: int, present: Present, *, is_link: bool
    ) -> Attributes:
        may_grow = present.is_live and present.size < size and not is_link
        return Attributes(
            inode,
            False,
            size,
            max(present.size, LEAST_ALLOCATED_BYTES) if size else 0,
            modified_s * NANOSECONDS,
            BUSY_VALID_S if may_grow else self._ttl_s,
            True,
            is_link,
        )


class Growing:
    """Files of which somebody has begun to fetch more.

    The kernel may keep attributes as long as names, but what is cached of these changes. So a
    moment after it began the kernel is told to ask again, and while it lasts it is told something
    that is good for a moment only. ``tell`` takes an inode and must not block.
    """

    def __init__(self, nursery: trio.Nursery, tell: Callable[[int], None]) -> None:
        self._nursery = nursery
        self._tell = tell
        self._inodes: set[int] = set()

    def __repr__(self) -> str:
        return f"<Growing {len(self._inodes)}>"

    def began(self, inode: int) -> None:
        """More of it is being fetched from now on."""
        if not self._inodes:
            self._nursery.start_soon(self._tell_soon)
        self._inodes.add(inode)

    async def _tell_soon(self) -> None:
        await trio.sleep(BUSY_VALID_S)
        inodes, self._inodes = self._inodes, set()
        for inode in inodes:
            self._tell(inode)
