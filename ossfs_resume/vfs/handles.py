"""Open files: each handle is bound to the object version that was current when it was opened."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import trio

from ossfs_resume.errors import CorruptObject, NotFound, ObjectChanged, OssfsError, StaleVersion
from ossfs_resume.fetch.readahead import AccessPattern
from ossfs_resume.vfs.inodes import InodeTable
from ossfs_resume.vfs.interfaces import ByteSource
from ossfs_resume.vfs.models import Opened
from ossfs_resume.vfs.nodes import NEVER, FileNode, current
from ossfs_resume.vfs.walks import Walks

if TYPE_CHECKING:
    from ossfs_resume.fetch.download import Download

CONFIRM_AGE_S = 1.0
"""Metadata older than this is checked before an incomplete version is opened, so that nobody who
has read nothing yet fails because the object was replaced meanwhile."""


@dataclass(eq=False, slots=True)
class OpenFile:
    """One handle. An empty object has no download: there is nothing to ask for."""

    node: FileNode
    download: "Download | None"
    pattern: AccessPattern = field(default_factory=AccessPattern)


class OpenFiles:
    """All open file handles, by number. Metadata is not believed for longer than
    ``metadata_ttl_s``, even by who opens a file that a listing has just shown. ``on_doubt`` is told
    of inodes that reading showed to be superseded, if the kernel knows them."""

    def __init__(
        self,
        source: ByteSource,
        table: InodeTable,
        walks: Walks,
        metadata_ttl_s: float = CONFIRM_AGE_S,
        on_doubt: Callable[[int], None] = lambda inode: None,
    ) -> None:
        self._confirm_age_s = min(CONFIRM_AGE_S, metadata_ttl_s)
        self._source = source
        self._table = table
        self._walks = walks
        self._on_doubt = on_doubt
        self._files: dict[int, OpenFile] = {}
        self._downloads: dict[int, Download] = {}
        self._numbers = count(1)

    def __len__(self) -> int:
        return len(self._files)

    def __repr__(self) -> str:
        return f"<OpenFiles {len(self)}>"

    async def open(self, node: FileNode) -> Opened:
        """A handle on the version that ``node`` stands for.

        Raises StaleVersion if it is not the current one any more, CacheError.
        """
        _raise_if_superseded(node)
        download = await self._download(node) if node.meta.size else None
        pages_are_true = download is None or _pages_are_true(node, download)
        handle = next(self._numbers)
        self._files[handle] = OpenFile(node, download)
        if download is not None:
            self._downloads[node.inode] = download
        self._table.opened(node)
        self._walks.opened(node)
        return Opened(handle, node.meta.size, pages_are_true)

    def read_at_once(self, handle: int, offset: int, length: int) -> bytes | memoryview | None:
        """The bytes ``[offset, offset + length)``, clipped at the end of the file, good until the
        caller's next await; None if they have to be waited for: `read`.

        Raises StaleVersion if cached bytes turned out to be bad: the kernel cannot drop its pages
        while reads wait.
        """
        file = self._readable(handle)
        stop = min(offset + length, file.node.meta.size)
        if file.download is None or offset >= stop:
            return b""
        data = self._source.read_at_once(file.download, file.pattern, offset, stop - offset)
        if data is not None and file.download.superseded is not None:
            self._supersede(file.node)  # this handle goes on, the next open looks again
        return data

    async def read(self, handle: int, offset: int, length: int) -> bytes | memoryview:
        """The same, after `read_at_once`, when they are there.

        Raises StaleVersion also if the object was replaced and a byte asked for is not cached;
        CorruptObject if all of it is not what the origin's CRC-64 says; otherwise what the engine
        raises.
        """
        file = self._readable(handle)
        stop = min(offset + length, file.node.meta.size)
        if file.download is None or offset >= stop:
            return b""
        try:
            data = await self._source.read(file.download, offset, stop - offset)
        except (ObjectChanged, NotFound, StaleVersion) as error:
            self._supersede(file.node)
            raise StaleVersion(f"{file.node.meta.key}: {error}") from error
        if file.download.superseded is not None:
            self._supersede(file.node)  # this handle goes on, the next open looks again
        return data

    def release(self, handle: int) -> None:
        """Close a handle."""
        file = self._files.pop(handle, None)
        if file is None:
            return
        self._table.closed(file.node)
        if not file.node.handles:
            self._downloads.pop(file.node.inode, None)
        self._walks.closed(file.node, at_end=file.pattern.frontier >= file.node.meta.size)
        if file.download is not None:
            file.node.stock = file.download.entry.stock or file.node.stock
            self._source.close(file.download)

    def present_bytes(self, node: FileNode) -> int:
        """Bytes of an open file that are cached at this moment."""
        return self._downloads[node.inode].entry.progress.present_bytes

    def _supersede(self, node: FileNode) -> None:
        """Reading told that the origin has another version; the kernel is to ask which."""
        if not node.superseded:
            node.supersede()
            if node.lookups:
                self._on_doubt(node.inode)

    def _readable(self, handle: int) -> OpenFile:
        file = self._files.get(handle)
        if file is None:
            raise StaleVersion(f"file handle {handle} is not open")
        if file.node.successor is not None:
            raise _why_discarded(file)
        return file

    async def _download(self, node: FileNode) -> "Download":
        download = await self._source.open(node.meta)
        try:
            await self._confirm(node, download)
        except BaseException:
            self._source.close(download)
            raise
        return download

    async def _confirm(self, node: FileNode, download: "Download") -> None:
        """Raises StaleVersion if ``node`` is not what a new handle may be bound to."""
        age_s = trio.current_time() - node.confirmed_at
        if not download.entry.progress.is_complete and age_s > self._confirm_age_s:
            try:
                await self._source.confirm(download)
            except (ObjectChanged, NotFound) as error:
                node.supersede()
                raise StaleVersion(f"{node.meta.key}: {error}") from error
        _raise_if_superseded(node)


def _why_discarded(file: OpenFile) -> OssfsError:
    """What the rest of its reads is told when the bytes of a file were discarded."""
    stale = file.download.stale if file.download is not None else None
    if isinstance(stale, CorruptObject):
        return stale.with_traceback(None)
    return StaleVersion(f"{file.node.meta.key}: cached bytes were bad, open it again")


def _pages_are_true(node: FileNode, download: "Download") -> bool:
    """Whether the kernel's pages are of what the cache has now.

    What it had when they were read may have been thrown away since, here or by another process, and
    nobody can tell whether that was for want of room or because it was bad.
    """
    before, node.stock = node.stock, download.entry.stock
    return before in (None, node.stock)


def _raise_if_superseded(node: FileNode) -> None:
    if node.superseded:
        # The kernel looks up the name only once more: what it is told must be the last word.
        successor = current(node)
        if trio.current_time() - successor.confirmed_at > CONFIRM_AGE_S:
            successor.confirmed_at = NEVER
        raise StaleVersion(f"{node.meta.key} has another version by now")
