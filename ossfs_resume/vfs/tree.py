"""The bucket as a tree of inodes: what a file system asks, answered in the bucket's terms.

Two things keep an inode: the kernel's lookup count, which every `lookup` and `tell` raises and
`forget` lowers, and open handles. The rest of what is known about names is a cache, which may be
dropped at any time (`directories`).
"""

import os
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

import trio

from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.remembered import DirectoryTime
from ossfs_resume.errors import BadValue, IsADirectory, NotADirectory, StaleVersion
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.supervision import kept_running
from ossfs_resume.vfs import inodes
from ossfs_resume.vfs.attributes import AttributeReader, Growing
from ossfs_resume.vfs.directory import Directories, Directory
from ossfs_resume.vfs.handles import OpenFiles
from ossfs_resume.vfs.inodes import InodeTable
from ossfs_resume.vfs.interfaces import ByteSource, CacheView, Lister
from ossfs_resume.vfs.metadata_requests import Origin
from ossfs_resume.vfs.metadata_store import Keeper, MetadataStore
from ossfs_resume.vfs.models import (
    Attributes,
    Listed,
    Opened,
    Portion,
    TreeSettings,
    TreeStatistics,
)
from ossfs_resume.vfs.names import directory_prefix, encode, parent_prefix
from ossfs_resume.vfs.nodes import DirectoryNode, FileNode, Node, is_doubted
from ossfs_resume.vfs.presence import Presence
from ossfs_resume.vfs.readers import DirectoryReader, DirectoryReaders
from ossfs_resume.vfs.shared import NANOSECONDS, Shared
from ossfs_resume.vfs.walks import Walks


class Tree:
    """The keys of a bucket that lie below one prefix.

    ``prefix`` is the mounted part of the bucket, with or without its final slash. ``nursery`` must
    outlive every call; metadata requests run in it. ``wall_clock`` gives Unix seconds.

    ``keeper`` keeps what the origin says for a later mount, which gets the ``times`` of directories
    at its start and the rest when it needs it.

    ``on_doubt`` is called with each inode that the kernel knows and whose name may stand for
    something else by now: once the kernel asks for its attributes, or opens it, StaleVersion sends
    it to look the path up again. Called on the event loop, it must not block.
    """

    ROOT: int = inodes.ROOT

    def __init__(
        self,
        lister: Lister,
        source: ByteSource,
        cache: CacheView,
        nursery: trio.Nursery,
        *,
        prefix: str = "",
        settings: TreeSettings | None = None,
        wall_clock: Callable[[], float] = time.time,
        keeper: Keeper | None = None,
        times: Mapping[str, DirectoryTime] = MappingProxyType({}),
        on_doubt: Callable[[int], None] = lambda inode: None,
    ) -> None:
        settings = settings or TreeSettings()
        now_ns = int(wall_clock() * NANOSECONDS)
        memory = MetadataStore(keeper, settings.recall_s)
        self._table = InodeTable(
            directory_prefix(prefix),
            now_ns,
            times=times,
            on_new_directory=memory.changed,
        )
        self._origin = Origin(lister, nursery, directory_prefix(prefix), settings.timeout_s)
        self._shared = Shared(self._table, self._origin, settings, wall_clock, on_doubt, memory)
        if keeper is not None:
            nursery.start_soon(kept_running, "keeping what the origin said", memory.run)
        self._cache = cache
        self._directories = Directories(self._shared)
        walks = Walks(self._directories.listing_of, source)
        self._files = OpenFiles(source, self._table, walks, settings.metadata_ttl_s, on_doubt)
        self._readers = DirectoryReaders(self._table)
        self._growing = Growing(nursery, on_doubt)
        self._attributes = AttributeReader(Presence(cache), self._files, settings.metadata_ttl_s)

    def __repr__(self) -> str:
        return f"<Tree {self._table!r} {self._directories!r} {self._origin!r}>"

    # --- names and inodes ---

    def lookup_at_once(self, parent: int, name: bytes) -> Listed | None:
        """What `lookup` gives, if neither the origin nor the cache's disk need be asked."""
        node_of_parent = self._table.get(parent)
        if not isinstance(node_of_parent, DirectoryNode):
            return None
        directory = self._directories.of(node_of_parent)
        believed = directory.believed(name)
        if believed is None:
            return None
        page, row, node = believed
        attributes = self._attributes.at_once(page, row, node, name)
        if attributes is None:
            return None
        if node is None:
            self._table.tell(page, range(row, row + 1))
        else:
            self._table.remember(node)
        return Listed(name, attributes, 0, directory.valid_s(node or page))

    async def lookup(self, parent: int, name: bytes) -> Listed:
        """What ``name`` stands for in a directory; the kernel holds it until `forget`.

        Raises AbsentName (a NoSuchName with ``valid_s``), NotADirectory, StaleVersion for an
        unknown parent, and OriginError if the origin had to be asked and could not be.
        """
        directory = self._directory(parent)
        if name == b".":
            node: Node = directory.node
        elif name == b"..":
            node = self._parent(directory.node)
        else:
            node = await directory.lookup(name)
        attributes = await self._attributes.of(node)
        valid_s = directory.valid_s(node)
        if not _is_current(node):
            # Served for want of news; were the kernel to ask for the attributes, it got an error.
            attributes = attributes._replace(valid_s=max(attributes.valid_s, valid_s))
        self._table.remember(node)
        return Listed(name, attributes, 0, valid_s)

    def tell(self, handle: int, portion: Portion, taken: int) -> None:
        """The kernel took so many entries of a portion of a listing, and holds them until
        `forget`; to be called before anything is awaited."""
        self._readers.get(handle).tell(portion, taken)

    def forget(self, inode: int, count: int) -> None:
        """The kernel gives up ``count`` of its holds. Never raises."""
        self._table.forget(inode, count)

    async def attributes(self, inode: int) -> Attributes:
        """What stat says, without a request unless the inode is doubted: it is one version.

        Raises StaleVersion if another one is known to be current, unless it is open: the kernel
        asks before it reads from an open file, too.
        """
        node = self._table.get(inode)
        if not node.handles:
            await self._settle_doubt(node)
            if not _is_current(node):
                raise StaleVersion(f"inode {inode} has been superseded")
        return await self._attributes.of(node)

    def read_link(self, inode: int) -> bytes:
        """The path that a symbolic link holds. Raises BadValue if it is none, StaleVersion."""
        node = self._table.get(inode)
        if not isinstance(node, FileNode) or not node.meta.link:
            raise BadValue(f"inode {inode} is no symbolic link")
        return encode(node.meta.link)

    def version_of(self, inode: int) -> ObjectMeta:
        """The object version of a file. Raises IsADirectory, StaleVersion."""
        return self._file(inode).meta

    def prefix_of(self, inode: int) -> str:
        """What all keys below a directory start with. Raises NotADirectory, StaleVersion."""
        return self._directory(inode).node.prefix

    def incarnation_changed(self, version: ObjectVersion) -> int:
        """The cached bytes of ``version`` turned out to be bad.

        From now on the version has another inode. Returns the old one, whose pages the kernel must
        drop; reads through handles on it fail at once, so that they can be dropped.
        """
        return self._table.reincarnate(version)

    def inode_of(self, version: ObjectVersion) -> int:
        """The inode that stands for a version today, whether or not anybody knows it."""
        return self._table.inode_of(ObjectMeta(version.key, version.size, version.etag, 0))

    def grows(self, version: ObjectVersion) -> None:
        """More of it is being fetched into the cache from now on."""
        self._growing.began(self.inode_of(version))

    def refresh(self, inode: int) -> None:
        """Believe nothing any more of what is known about a file's name, or about the names in and
        below a directory: who uses one next asks, and old knowledge only serves if it cannot.

        Raises StaleVersion.
        """
        node = self._table.get(inode)
        if isinstance(node, DirectoryNode):
            for directory in self._directories.below(node.prefix):
                directory.expire()
        else:
            for directory in self._directories.at(parent_prefix(node.meta.key)):
                directory.expire(node)

    # --- directories ---

    async def open_directory(self, inode: int) -> int:
        """A handle for reading a directory; nothing is asked yet, unless it is doubted.

        Raises NotADirectory; StaleVersion if the name stands for something else by now.
        """
        directory = self._directory(inode)
        await self._settle_doubt(directory.node)
        return self._readers.add(DirectoryReader(directory, self._attributes, self._table))

    async def list_directory(self, handle: int, offset: int, limit: int) -> Portion:
        """At most ``limit`` entries from ``offset`` on (0 starts anew), none at the end.

        Raises OriginError (AccessDenied where listing is forbidden).
        """
        return await self._readers.get(handle).read(offset, limit)

    def close_directory(self, handle: int) -> None:
        """Close a directory handle."""
        self._readers.close(handle)

    # --- files ---

    async def open(self, inode: int) -> Opened:
        """A handle on exactly the version that ``inode`` stands for.

        Raises IsADirectory; StaleVersion if the object has another version by now, upon which the
        kernel looks the path up again.
        """
        node = self._file(inode)
        await self._settle_doubt(node)
        return await self._files.open(node)

    def read_at_once(self, handle: int, offset: int, length: int) -> bytes | memoryview | None:
        """Exactly these bytes if nothing has to be waited for; see `OpenFiles.read_at_once`."""
        return self._files.read_at_once(handle, offset, length)

    async def read(self, handle: int, offset: int, length: int) -> bytes | memoryview:
        """Exactly these bytes, clipped at the end of the file; see `OpenFiles.read`."""
        return await self._files.read(handle, offset, length)

    async def release(self, handle: int) -> None:
        """Close a file handle."""
        self._files.release(handle)

    # --- the whole ---

    def space(self) -> os.statvfs_result:
        """Space of the cache's disk; blocks."""
        return self._cache.statvfs()

    def statistics(self) -> TreeStatistics:
        """Counters and sizes at this moment."""
        return TreeStatistics(
            nodes=len(self._table),
            directories=len(self._directories),
            open_files=len(self._files),
            list_requests=self._origin.list_requests,
            head_requests=self._origin.head_requests,
            lookups=self._shared.lookups,
            lookups_without_request=self._shared.lookups_without_request,
            stale_served=self._origin.stale_served,
            hidden_keys=len(self._shared.hidden),
            origin_is_down=self._origin.is_down,
        )

    async def _settle_doubt(self, node: Node) -> None:
        """Raises StaleVersion if the name of ``node`` leads elsewhere by now."""
        if is_doubted(node) and not await self._directories.leads_to(node):
            raise StaleVersion(f"inode {node.inode} has been superseded")

    def _file(self, inode: int) -> FileNode:
        node = self._table.get(inode)
        if not isinstance(node, FileNode):
            raise IsADirectory(f"{node.prefix!r} is a directory")
        return node

    def _directory(self, inode: int) -> Directory:
        node = self._table.get(inode)
        if not isinstance(node, DirectoryNode):
            raise NotADirectory(f"{node.meta.key!r} is a file")
        return self._directories.of(node)

    def _parent(self, node: DirectoryNode) -> DirectoryNode:
        if node is self._table.root:
            return node
        return self._table.directory(parent_prefix(node.prefix), self._shared.now_ns())


def _is_current(node: Node) -> bool:
    return not isinstance(node, FileNode) or not node.superseded
