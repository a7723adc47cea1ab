"""One pass through a directory: its entries as far as its pages have been read."""

from ossfs_resume.oss.models import ListPage
from ossfs_resume.oss.paging import Trail
from ossfs_resume.vfs.inodes import InodeTable
from ossfs_resume.vfs.names import Named, NameMerger, decode
from ossfs_resume.vfs.names_digest import NamesDigest
from ossfs_resume.vfs.nodes import NEVER, DirectoryNode, Node
from ossfs_resume.vfs.origin import SharedCall
from ossfs_resume.vfs.shared import NANOSECONDS


class Listing:
    """Entries in the order in which they became certain, which is the order they are read in.

    Entries are only ever added at the end, so that an index into ``names`` stays valid for every
    reader. ``paging`` is the request for the next page, shared by all of them.
    """

    def __init__(self, node: DirectoryNode, table: InodeTable, started_at: float) -> None:
        self.names: list[bytes] = []
        self.nodes: dict[bytes, Node] = {}
        self.token = ""
        self.pages = 0
        self.packed: list[bytes] = []
        """The pages as they are kept beyond this mount, until the listing is complete. A tenth of
        what they are as values, of which there would be two for each name that was listed before.
        """
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

    def __repr__(self) -> str:
        state = "complete" if self.is_complete else "partial"
        return f"<Listing {self._node.prefix!r} {state} names={len(self.names)}>"

    def absorb(self, page: ListPage, now: float, now_ns: int) -> list[bytes]:
        """Take the next page, which was asked for at ``now``; return the names that it added."""
        before = len(self.names)
        for named in self._merger.add(page):
            if named.name not in self.nodes:
                self.nodes[named.name] = self._intern(named, now, now_ns)
                self.names.append(named.name)
        added = self.names[before:]
        self._digest.add(added)
        self.pages += 1
        self.token = page.next_token
        self.is_complete = not page.next_token
        if self._merger.marker is not None:
            self._node.saw_marker(self._merger.marker.modified * NANOSECONDS)
        if self.is_complete:
            self._node.saw_names(self._digest.value(), now_ns)
        return added

    def has_passed(self, name: bytes) -> bool:
        """Whether an entry of this name would be here by now."""
        return self._merger.has_passed(name)

    def take_hidden(self) -> list[str]:
        """Keys met since the last call that no path can express."""
        return self._merger.take_hidden()

    def _intern(self, named: Named, now: float, now_ns: int) -> Node:
        if named.meta is not None:
            file = self._table.file(named.meta)
            file.confirm(named.meta, now)
            return file
        directory = self._table.directory(self._node.prefix + decode(named.name) + "/", now_ns)
        if now > NEVER:
            directory.confirmed_at, directory.listable = now, True
        return directory
