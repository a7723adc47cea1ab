"""What a number of the mount stands for: one version of an object, or a directory.

A file's node never changes its version: another one is another node. It may lose its standing (the
origin has another version) or its cached bytes (then it leads to its successor), and it knows when
the origin last vouched for it. Nodes are compared by identity and know nothing of the table.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

from ossfs_resume.cache.models import Generation, ObjectVersion
from ossfs_resume.oss.models import ObjectMeta

NEVER = -math.inf


@dataclass(eq=False, slots=True, weakref_slot=True)
class FileNode:
    """One object version.

    ``confirmed_at`` is the monotonic time at which the origin last said that it is the current
    one; ``doubted`` says that nothing said before that is believed any more. ``superseded`` says
    that it is known not to be current; ``was_cached`` that all of it was in the cache when somebody
    last asked, which is a hint; ``successor`` is the inode of the same version after its cached
    bytes turned out to be bad. ``stock`` is what the cache had of it when it was last open:
    the kernel's pages can have come from nowhere else.
    """

    inode: int
    meta: ObjectMeta
    incarnation: int
    confirmed_at: float = NEVER
    lookups: int = 0
    handles: int = 0
    doubted: bool = False
    superseded: bool = False
    was_cached: bool = False
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
    doubted: bool = False
    listable: bool = True
    names_digest: bytes = b""
    read_at: float = NEVER
    """When names of it were last shown to a reader."""

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


def doubt(node: Node) -> None:
    """Believe no more that its name stands for ``node``, until the origin says so again."""
    node.confirmed_at = NEVER
    node.doubted = True


def is_doubted(node: Node) -> bool:
    """Whether it was doubted, and the origin has not been heard since."""
    return node.doubted and node.confirmed_at == NEVER


def version_of(meta: ObjectMeta) -> ObjectVersion:
    """The cache's name for what the origin described."""
    return ObjectVersion(meta.key, meta.etag, meta.size)


def current(node: Node) -> Node:
    """The node that stands today for what ``node`` stood for."""
    while isinstance(node, FileNode) and node.successor is not None:
        node = node.successor
    return node
