"""Inode numbers and what they stand for.

A number is derived from what it names, so that it is the same after a remount: a directory's from
its prefix, a file's from one object *version* (key, ETag, size). Another version is another inode:
pages that the kernel holds of the old one can never be shown as the new one. So is the next
*incarnation* of the same version, after cached bytes turned out to be bad or were removed. That
lasts as long as anything refers to either: a kernel that has forgotten both holds no page, and the
version has its first number again.

A node lives as long as anything refers to it: the kernel (its lookup count), an open handle, or a
listing that mentions it. The first two are counted here: the table refers to such a node itself,
and weakly to all others. It has one entry for each, since a listing makes a million of them.

Two names whose 63-bit hashes collide are kept apart by probing. The one that came second is written
down for good, since a free number at its first choice would otherwise tempt it to move.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType
from typing import TypeAlias
from weakref import WeakValueDictionary, ref

from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.records import Generation
from ossfs_resume.cache.remembered import DirectoryTime
from ossfs_resume.errors import StaleVersion
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.vfs.names import encode

ROOT = 1
MAX_INODE = 2**63 - 1

NEVER = -math.inf


@dataclass(eq=False, slots=True, weakref_slot=True)
class FileNode:
    """One object version.

    ``confirmed_at`` is the monotonic time at which the origin last said that it is the current
    one. ``superseded`` says that it is known not to be; ``successor`` is the inode of the same
    version after its cached bytes were thrown away. ``stock`` is what the cache had of it when it
    was last open: the kernel's pages can have come from nowhere else.
    """

    inode: int
    meta: ObjectMeta
    incarnation: int
    confirmed_at: float = NEVER
    lookups: int = 0
    handles: int = 0
    superseded: bool = False
    successor: "FileNode | None" = None
    stock: Generation | None = None

    def is_version(self, meta: ObjectMeta, incarnation: int) -> bool:
        """Whether this node stands for that version."""
        mine = self.meta
        return (mine.key, mine.etag, mine.size, self.incarnation) == (
            meta.key,
            meta.etag,
            meta.size,
            incarnation,
        )

    def confirm(self, meta: ObjectMeta, now: float) -> None:
        """The origin has just shown this version; only a HEAD says its CRC, which is kept.

        ``now`` is NEVER for what an earlier mount was told: it confirms nothing.
        """
        if now == NEVER:
            return
        if meta.crc64 is not None or meta.modified != self.meta.modified:
            self.meta = meta
        self.confirmed_at = now
        self.superseded = False

    def supersede(self) -> None:
        """The origin has another version under this name, or none."""
        self.confirmed_at = NEVER
        self.superseded = True


@dataclass(eq=False, slots=True, weakref_slot=True)
class DirectoryNode:
    """All keys that start with ``prefix``.

    The modification time is the marker object's, or else when the directory was first seen. It
    rises when a listing shows other names than the one before, and never otherwise: importers and
    indexers skip directories whose time stands still.
    """

    inode: int
    prefix: str
    modified_ns: int
    confirmed_at: float = NEVER
    lookups: int = 0
    handles: int = 0
    listable: bool = True
    names_digest: bytes = b""

    def saw_marker(self, modified_ns: int) -> None:
        """The directory's marker object has this time."""
        if self.names_digest:
            modified_ns = max(modified_ns, self.modified_ns)
        self.modified_ns = modified_ns

    def saw_names(self, digest: bytes, now_ns: int) -> None:
        """A whole listing showed names of this digest (`NamesDigest`)."""
        if self.names_digest not in (b"", digest):
            self.modified_ns = max(now_ns, self.modified_ns)
        self.names_digest = digest


Node: TypeAlias = FileNode | DirectoryNode


class NamesDigest:
    """The names of a listing in their order, page by page: all at once they may be 100 MB."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)
        self._is_empty = True

    def add(self, names: list[bytes]) -> None:
        """The names that follow."""
        if names:
            self._hash.update(b"/".join(names if self._is_empty else [b"", *names]))
            self._is_empty = False

    def value(self) -> bytes:
        """Of all names so far, however they were divided."""
        return self._hash.digest()


class _Weak(ref[Node]):
    """A reference that does not keep its node alive, and the number it is filed under."""

    __slots__ = ("inode",)
    inode: int


def version_of(meta: ObjectMeta) -> ObjectVersion:
    """The cache's name for what the origin described."""
    return ObjectVersion(meta.key, meta.etag, meta.size)


def current(node: Node) -> Node:
    """The node that stands today for what ``node`` stood for."""
    while isinstance(node, FileNode) and node.successor is not None:
        node = node.successor
    return node


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
        """The cached bytes of a version were thrown away: give it another inode from now on.

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
