"""Inode numbers: which node has which, and how long it keeps it (`nodes` says what they are).

A number is derived from what it names, so that it is the same after a remount: a directory's from
its prefix, a file's from one object *version* (key, ETag, size). Another version is another inode:
pages that the kernel holds of the old one can never be shown as the new one. So is the next
*incarnation* of the same version, after cached bytes turned out to be bad. (Not after they were
evicted: backup programs read a file again whose number changed.) That
lasts as long as anything refers to either: a kernel that has forgotten both holds no page, and the
version has its first number again.

A node lives as long as anything refers to it: the kernel (its lookup count), an open handle, or a
listing that mentions it. The first two are counted here: the table refers to such a node itself,
and weakly to all others. It has one entry for each, since a listing makes a million of them.

Most files of a listing have no node, only a row in a page of it (`page`). Of these the table knows
the ones that the kernel was told of, by page and row in one number; whoever asks for such an inode
has its node made, which takes the place of the row and its lookup count.

Two names whose 63-bit hashes collide are kept apart by probing. The one that came second is written
down for good, since a free number at its first choice would otherwise tempt it to move.
"""

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import count
from types import MappingProxyType
from weakref import WeakValueDictionary, ref

from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.remembered import DirectoryTime
from ossfs_resume.errors import StaleVersion
from ossfs_resume.oss.columns import encoded_texts
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.vfs.names import encode
from ossfs_resume.vfs.nodes import NEVER, DirectoryNode, FileNode, Node, current, version_of
from ossfs_resume.vfs.page import Page

ROOT = 1
MAX_INODE = 2**63 - 1
_ROW_BITS = 20
_ROW = (1 << _ROW_BITS) - 1


class _Weak(ref[Node]):
    """A reference that does not keep its node alive, and the number it is filed under."""

    __slots__ = ("inode",)
    inode: int


def hash63(identity: bytes) -> int:
    """The first choice of an inode number."""
    return int.from_bytes(blake2b(identity, digest_size=8).digest(), "big") >> 1


class InodeTable:
    """All nodes that anything refers to; the root, always there, is number 1.

    ``times`` is what is known of directories by prefix; ``on_new_directory`` is told of all others.
    """

    def __init__(
        self,
        root_prefix: str,
        now_ns: int,
        hash_identity: Callable[[bytes], int] = hash63,
        *,
        times: Mapping[str, DirectoryTime] = MappingProxyType({}),
        on_new_directory: Callable[[DirectoryNode], object] = lambda node: None,
    ) -> None:
        self._hash = hash_identity
        self._reincarnated: WeakValueDictionary[ObjectVersion, FileNode] = WeakValueDictionary()
        self._nodes: dict[int, Node | _Weak | int] = {}
        self._pages: dict[int, Page] = {}
        """Pages with rows that the kernel was told of."""
        self._page_numbers = count(1)
        self._held = 1
        self._displaced: dict[bytes, int] = {_directory_identity(root_prefix): ROOT}
        self._times = times
        self._on_new_directory = on_new_directory
        self.root = self._new_directory(ROOT, root_prefix, now_ns)
        self._nodes[ROOT] = self.root

    def __repr__(self) -> str:
        return f"<InodeTable nodes={len(self._nodes)} held={self._held}>"

    def __len__(self) -> int:
        """Nodes that the kernel knows or that are open; the root always counts."""
        return self._held

    def get(self, inode: int) -> Node:
        """The node of a number. Raises StaleVersion: the kernel then looks the path up again."""
        node = self._nodes.get(inode)
        if node is None or isinstance(node, int | _Weak):
            node = self._find(inode)
        if node is None:
            raise StaleVersion(f"inode {inode} is not known")
        return node

    def directory(self, prefix: str, now_ns: int) -> DirectoryNode:
        """The node of a directory; ``now_ns`` is its time if it is seen for the first time."""
        identity = _directory_identity(prefix)
        inode = self._displaced.get(identity, 0) or self._hash(identity) or MAX_INODE
        while (node := self._find(inode)) is not None:
            if isinstance(node, DirectoryNode) and node.prefix == prefix:
                return node
            inode = self._displaced[identity] = inode % MAX_INODE + 1
        directory = self._new_directory(inode, prefix, now_ns)
        self._nodes[inode] = self._weak(directory)
        return directory

    def _new_directory(self, inode: int, prefix: str, now_ns: int) -> DirectoryNode:
        """With the time that it had in an earlier mount; nobody else sees it for the first time."""
        time = self._times.get(prefix)
        if time is not None:
            return DirectoryNode(inode, prefix, time.modified_ns, names_digest=time.names)
        node = DirectoryNode(inode, prefix, now_ns)
        self._on_new_directory(node)
        return node

    def file(self, meta: ObjectMeta) -> FileNode:
        """The node of an object version in its present incarnation."""
        return self._file(meta, self._incarnation(meta))

    def inode_of(self, meta: ObjectMeta) -> int:
        """The number of an object version, whether or not anybody knows it."""
        if not self._reincarnated:
            identity = _file_identity(meta, 0)
            inode = self._displaced.get(identity, 0) or self._hash(identity) or MAX_INODE
            if isinstance(self._nodes.get(inode), int):
                return inode
        return self.file(meta).inode

    def _file(self, meta: ObjectMeta, incarnation: int) -> FileNode:
        identity = _file_identity(meta, incarnation)
        inode = self._displaced.get(identity, 0) or self._hash(identity) or MAX_INODE
        while (node := self._find(inode)) is not None:
            if isinstance(node, FileNode) and node.is_version(meta, incarnation):
                return node
            inode = self._displaced[identity] = inode % MAX_INODE + 1
        file = FileNode(inode, meta, incarnation)
        self._nodes[inode] = self._weak(file)
        return file

    def reincarnate(self, version: ObjectVersion) -> int:
        """The cached bytes of a version were bad: give it another inode from now on.

        Returns the old number, whether or not anybody knows it.
        """
        old = self.file(ObjectMeta(version.key, version.size, version.etag, 0))
        successor = self._file(old.meta, old.incarnation + 1)
        successor.confirmed_at, successor.superseded = old.confirmed_at, old.superseded
        old.successor, old.superseded = successor, True
        self._reincarnated[version] = successor
        return old.inode

    def remember(self, node: Node) -> None:
        """The kernel was told of this node once more."""
        self._hold(node)
        node.lookups += 1

    def forget(self, inode: int, count: int) -> None:
        """The kernel takes back ``count`` lookups. Never raises, for nobody could be told."""
        node = self._nodes.get(inode)
        if isinstance(node, int):
            self._forget_row(inode, node, count)
        elif node is not None and not isinstance(node, _Weak):
            node.lookups = max(node.lookups - count, 0)
            self._drop_unused(node)

    def opened(self, node: Node) -> None:
        """One more handle is open on this node."""
        self._hold(node)
        node.handles += 1

    def closed(self, node: Node) -> None:
        """One handle fewer is open on this node."""
        node.handles -= 1
        self._drop_unused(node)

    # --- rows of pages ---

    def number(self, page: Page, names: Sequence[bytes]) -> None:
        """Give each row of a new page its number.

        Rows of which the kernel was told with an earlier page are taken over from that one.
        """
        page.number = next(self._page_numbers)
        identities = _identities(page, names)
        chosen = list(map(self._hash, identities))
        if 0 in chosen or len(self._displaced) > 1:  # the root is one
            chosen = [
                self._displaced.get(identity, 0) or choice or MAX_INODE
                for identity, choice in zip(identities, chosen, strict=True)
            ]
        page.inodes = inodes = array(page.inodes.typecode, chosen)
        is_ambiguous = len(set(inodes)) < page.count
        others: dict[int, list[bytes]] = {}
        for row in range(page.count) if is_ambiguous or self._reincarnated else self._known(inodes):
            if row in page.nodes:
                inodes[row] = page.nodes[row].inode
            elif is_ambiguous or not self._take_over(page, row, names[row], others):
                self._confirm(page, row, names[row])

    def _known(self, inodes: "array[int]") -> list[int]:
        """The rows whose numbers are in use."""
        return [row for row, inode in enumerate(inodes) if inode in self._nodes]

    def node(self, page: Page, row: int, name: bytes | None = None) -> Node:
        """The node of a row, made if there is none; its ``name``, if that is known."""
        if row in page.nodes:
            return page.nodes[row]
        slot = self._nodes.get(page.inodes[row])
        if slot == page.number << _ROW_BITS | row:
            return self._made(page, row, name)
        node = self.file(page.meta(row, name))
        if node.confirmed_at == NEVER and not node.superseded and not node.doubted:
            node.confirmed_at, node.doubted = page.confirmed_at, page.doubted
            node.was_cached = row in page.whole
        page.nodes[row] = node
        page.inodes[row] = node.inode
        return node

    def known_node(self, page: Page, row: int) -> Node | None:
        """The node of a row if there is one, or the kernel knows it."""
        is_told = bool(page.lookups[row])
        return self.node(page, row) if is_told or row in page.nodes else None

    def is_free(self, page: Page, row: int) -> bool:
        """Whether nothing else has the number of a row without a node."""
        slot = self._nodes.get(page.inodes[row])
        return slot is None or slot == page.number << _ROW_BITS | row

    def settle(self, page: Page, rows: range) -> None:
        """Make nodes of those rows whose numbers others have, so that the kernel may be told."""
        inodes, nodes, first = page.inodes, self._nodes, page.number << _ROW_BITS
        taken = [
            row
            for row, slot in zip(rows, map(nodes.get, inodes[rows.start : rows.stop]), strict=True)
            if slot is not None and slot != first | row
        ]
        for row in taken:
            self.node(page, row)

    def tell(self, page: Page, rows: range) -> None:
        """The kernel was told of these rows once more."""
        lookups, inodes, first = page.lookups, page.inodes, page.number << _ROW_BITS
        new = 0
        for row in rows:
            if row in page.nodes:
                self.remember(current(page.nodes[row]))
                continue
            if not lookups[row]:
                self._nodes[inodes[row]] = first | row
                new += 1
            lookups[row] += 1
        if new:
            self._pages[page.number] = page
            page.told += new
            self._held += new

    def told_rows(self, page: Page) -> Iterable[int]:
        """The numbers of the rows without a node that the kernel knows."""
        return [inode for inode, known in zip(page.inodes, page.lookups, strict=True) if known]

    def _take_over(self, page: Page, row: int, name: bytes, others: dict[int, list[bytes]]) -> bool:
        """Whether the row stands for what one of an earlier page did, which is no more needed."""
        slot = self._nodes.get(page.inodes[row])
        if not isinstance(slot, int) or page.confirmed_at == NEVER:
            return False
        other, at = self._pages[slot >> _ROW_BITS], slot & _ROW
        if other.number not in others:
            others[other.number] = other.names()
        if other.prefix != page.prefix or others[other.number][at] != name:
            return False
        if not page.has_same(row, other, at):
            return False
        self._nodes[page.inodes[row]] = page.number << _ROW_BITS | row
        self._pages[page.number] = page
        page.lookups[row], other.lookups[at] = other.lookups[at], 0
        page.told += 1
        self._untold(other)
        return True

    def _confirm(self, page: Page, row: int, name: bytes) -> None:
        """A row whose number is known already: the node of its version, which was just shown."""
        meta = page.meta(row, name)
        node = self.file(meta)
        node.confirm(meta, page.confirmed_at)
        page.nodes[row], page.inodes[row] = node, node.inode

    def _made(self, page: Page, row: int, name: bytes | None = None) -> FileNode:
        """The node of a row that the kernel knows."""
        node = FileNode(page.inodes[row], page.meta(row, name), 0, page.confirmed_at)
        node.lookups, page.lookups[row] = page.lookups[row], 0
        node.doubted, node.was_cached = page.doubted, row in page.whole
        page.nodes[row] = self._nodes[node.inode] = node
        self._untold(page)
        return node

    def _forget_row(self, inode: int, slot: int, count: int) -> None:
        page, row = self._pages[slot >> _ROW_BITS], slot & _ROW
        page.lookups[row] = left = max(page.lookups[row] - count, 0)
        if not left:
            del self._nodes[inode]
            self._held -= 1
            self._untold(page)

    def _untold(self, page: Page) -> None:
        page.told -= 1
        if not page.told:
            del self._pages[page.number]

    # --- nodes ---

    def _find(self, inode: int) -> Node | None:
        node = self._nodes.get(inode)
        if isinstance(node, int):
            return self._made(self._pages[node >> _ROW_BITS], node & _ROW)
        return node() if isinstance(node, _Weak) else node

    def _hold(self, node: Node) -> None:
        """To be called before the node is counted once more."""
        if not node.lookups and not node.handles and node is not self.root:
            self._held += 1
            self._nodes[node.inode] = node

    def _drop_unused(self, node: Node) -> None:
        if not node.lookups and not node.handles and node is not self.root:
            self._held -= 1
            self._nodes[node.inode] = self._weak(node)

    def _weak(self, node: Node) -> _Weak:
        weak = _Weak(node, self._died)
        weak.inode = node.inode
        return weak

    def _died(self, weak: ref[Node]) -> None:
        assert isinstance(weak, _Weak)
        if self._nodes.get(weak.inode) is weak:
            del self._nodes[weak.inode]

    def _incarnation(self, meta: ObjectMeta) -> int:
        if not self._reincarnated:
            return 0
        node = self._reincarnated.get(version_of(meta))
        return 0 if node is None else node.incarnation


def _identities(page: Page, names: Sequence[bytes]) -> list[bytes]:
    """What `_file_identity` says of each row, at once."""
    prefix, etags = encode(page.prefix), encoded_texts(list(page.columns.etags))
    return [
        b"0\0%d\0%b\0%b%b" % (size, etag, prefix, name)
        for name, size, etag in zip(names, page.columns.sizes, etags, strict=True)
    ]


def _directory_identity(prefix: str) -> bytes:
    return b"directory\0" + encode(prefix)


def _file_identity(meta: ObjectMeta, incarnation: int) -> bytes:
    """Unambiguous, since only the last field can contain a NUL."""
    return encode(f"{incarnation}\0{meta.size}\0{meta.etag}\0{meta.key}")
