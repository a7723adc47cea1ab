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

Two names whose 63-bit hashes collide are kept apart by probing. The one that came second is written
down for good, since a free number at its first choice would otherwise tempt it to move.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from types import MappingProxyType
from weakref import WeakValueDictionary, ref

from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.remembered import DirectoryTime
from ossfs_resume.errors import StaleVersion
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.vfs.names import encode
from ossfs_resume.vfs.nodes import DirectoryNode, FileNode, Node, version_of

ROOT = 1
MAX_INODE = 2**63 - 1


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
        self._nodes: dict[int, Node | _Weak] = {}
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
        if node is not None and not isinstance(node, _Weak):
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

    def _find(self, inode: int) -> Node | None:
        node = self._nodes.get(inode)
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


def _directory_identity(prefix: str) -> bytes:
    return b"directory\0" + encode(prefix)


def _file_identity(meta: ObjectMeta, incarnation: int) -> bytes:
    """Unambiguous, since only the last field can contain a NUL."""
    return encode(f"{incarnation}\0{meta.size}\0{meta.etag}\0{meta.key}")
