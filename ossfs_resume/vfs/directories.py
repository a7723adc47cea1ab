"""The directories that something is known of, the least recently used dropped first."""

from collections import OrderedDict

from ossfs_resume.errors import OriginError
from ossfs_resume.vfs.directory import Directory
from ossfs_resume.vfs.listing import Listing
from ossfs_resume.vfs.models import AbsentName
from ossfs_resume.vfs.names import SHADOW_SUFFIX, encode, parent_prefix
from ossfs_resume.vfs.nodes import DirectoryNode, FileNode, Node
from ossfs_resume.vfs.shared import Shared

MAX_DIRECTORIES = 10_000
"""A walk through a bucket visits each directory once; what it learned need not stay for ever."""


class Directories:
    """One `Directory` for each prefix."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._directories: OrderedDict[str, Directory] = OrderedDict()

    def __len__(self) -> int:
        return len(self._directories)

    def __repr__(self) -> str:
        return f"<Directories {len(self)}>"

    def below(self, prefix: str) -> list[Directory]:
        """What is known of the directories whose prefixes start with this one."""
        return [one for known, one in self._directories.items() if known.startswith(prefix)]

    def at(self, prefix: str) -> list[Directory]:
        """What is known of the directory of exactly this prefix: one, or nothing."""
        return [self._directories[prefix]] if prefix in self._directories else []

    def listing_of(self, prefix: str) -> Listing | None:
        """The newest listing of the directory of exactly this prefix, if there is one."""
        directory = self._directories.get(prefix)
        return None if directory is None else directory.listings.newest

    async def leads_to(self, node: Node) -> bool:
        """Whether the name of ``node`` still stands for it; yes, if nobody can say."""
        path = node.prefix[:-1] if isinstance(node, DirectoryNode) else node.meta.key
        prefix = parent_prefix(path)
        name = encode(path)[len(encode(prefix)) :]
        parent = self.of(self._shared.table.directory(prefix, self._shared.now_ns()))
        try:
            return await _found(parent, name) is node or (
                isinstance(node, FileNode) and await _found(parent, name + SHADOW_SUFFIX) is node
            )
        except OriginError:
            return True

    def of(self, node: DirectoryNode) -> Directory:
        """The directory of this node; a dropped one starts again, knowing nothing."""
        directory = self._directories.get(node.prefix)
        if directory is None:
            directory = self._directories[node.prefix] = Directory(node, self._shared)
            if len(self._directories) > MAX_DIRECTORIES:
                self._directories.popitem(last=False)
        else:
            self._directories.move_to_end(node.prefix)
        return directory


async def _found(directory: Directory, name: bytes) -> Node | None:
    try:
        return await directory.lookup(name)
    except AbsentName:
        return None
