"""Attributes of nodes, many at a time."""

from collections.abc import Sequence
from functools import partial

import trio

from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.errors import CacheError
from ossfs_resume.fetch.asking import Asking
from ossfs_resume.fetch.trouble import Trouble
from ossfs_resume.vfs.handles import OpenFiles
from ossfs_resume.vfs.interfaces import CacheView
from ossfs_resume.vfs.models import Attributes
from ossfs_resume.vfs.nodes import DirectoryNode, FileNode, Node, version_of
from ossfs_resume.vfs.shared import NANOSECONDS

PATIENCE_S = 2.0
"""How long an answer waits for the cache's disk, which may hang."""

BUSY_VALID_S = 1.0
"""Attributes of a file that may be growing in the cache are shown anew every second."""

LEAST_ALLOCATED_BYTES = 512
"""One block. tar -S archives a file of zero blocks as zeros, without reading it."""


class AttributeReader:
    """Joins what a node says with what the cache holds of it."""

    def __init__(self, cache: CacheView, files: OpenFiles, metadata_ttl_s: float) -> None:
        self._cache = cache
        self._files = files
        self._ttl_s = metadata_ttl_s
        self._trouble = Trouble("asked what it holds")
        self._asking = Asking(4, PATIENCE_S)

    async def of(self, nodes: Sequence[Node]) -> list[Attributes]:
        """The attributes of each node, with one thread hop at most."""
        files = [node for node in nodes if isinstance(node, FileNode) and node.meta.size]
        is_single = len(nodes) == 1  # of many, one question tells
        live = {
            file.inode: size
            for file in files
            if (file.handles or is_single) and (size := self._files.present_bytes(file)) is not None
        }
        present = await self._present_bytes([file for file in files if file.inode not in live])
        present |= live
        return [
            self._of_directory(node)
            if isinstance(node, DirectoryNode)
            else self._of_file(node, present.get(node.inode, 0))
            for node in nodes
        ]

    async def _present_bytes(self, files: Sequence[FileNode]) -> dict[int, int]:
        """Cached bytes by inode; a cache that cannot say holds nothing."""
        if not files:
            return {}
        versions = [version_of(file.meta) for file in files]
        present = await self._ask(versions)
        return {file.inode: size for file, size in zip(files, present, strict=True) if size}

    async def _ask(self, versions: Sequence[ObjectVersion]) -> Sequence[int]:
        """What the cache says, unless its disk fails or hangs: no ``ls`` waits for that."""
        unknown = [0] * len(versions)
        if self._trouble.is_resting(trio.current_time()):
            return unknown
        try:
            present = await self._asking.ask(partial(self._cache.cached_bytes, versions))
        except CacheError as error:
            self._trouble.failed(error, trio.current_time())
            return unknown
        self._trouble.succeeded(trio.current_time())
        return present

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

    def _of_file(self, node: FileNode, present: int) -> Attributes:
        meta = node.meta
        # A job may start to fetch it at any time, and nobody would tell the kernel.
        may_grow = present < meta.size
        node.was_cached = not may_grow
        # Positional, for this is done for every name of a listing.
        return Attributes(
            node.inode,
            False,
            meta.size,
            max(present, LEAST_ALLOCATED_BYTES) if meta.size else 0,
            meta.modified * NANOSECONDS,
            BUSY_VALID_S if may_grow and not meta.link else self._ttl_s,
            True,
            bool(meta.link),
        )
