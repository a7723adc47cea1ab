"""The kernel's requests, answered from a tree and its verbs.

Each handler converts its arguments, calls the tree or the verbs, and converts the answer; decisions
belong to the tree. What the kernel requires of us and the tree cannot know:

- A short answer to a read is padded with zeros by the kernel, so its length is checked here.
- The lookup count of an inode rises by one for each successful lookup and for each name that
  `reply` accepted, and falls by what ``forget`` says.
- The mount does not carry the ``ro`` flag, because the kernel would then refuse every setxattr;
  each modifying request answers EROFS instead, for root too.
- Attribute names outside ``user.`` answer ENOTSUP: ``ls -l`` then stops asking for them after the
  first file (100 000 names: 0.6 s instead of 14 s).
- Permissions are checked by the kernel (``default_permissions``), before we are asked.
"""

import errno
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import pyfuse3
import trio

from ossfs_resume.errors import (
    NoSuchAttribute,
    NoSuchName,
    NotSupported,
    OssfsError,
    ReadOnly,
)
from ossfs_resume.fuse.attributes import Ownership, absent_entry, entry_attributes, space
from ossfs_resume.fuse.guard import Gate, guarded
from ossfs_resume.fuse.interfaces import Tree, Verbs
from ossfs_resume.fuse.invalidation import Invalidator
from ossfs_resume.fuse.listing import reply

_log = logging.getLogger(__name__)

_MODIFYING_FLAGS = os.O_ACCMODE | os.O_TRUNC
_USER_PREFIX = b"user."
_VERB_PREFIX = b"user.ossfs."

# The kernel's buffer takes about 200 names of ordinary length at a time.
_LISTING_BATCH = 256


@dataclass(frozen=True, slots=True)
class OperationsSettings:
    """Ownership of the files, and the deadlines of last resort in seconds.

    ``limit_s`` ends anything that answers from metadata. ``data_limit_s`` ends opens and reads,
    which have a deadline of their own that follows the progress of the download and may be "never";
    hence infinite by default. ``space_limit_s`` is how long the cache's disk may take to say what
    space it has; then what it said last is repeated.
    """

    ownership: Ownership
    limit_s: float = 300.0
    data_limit_s: float = float("inf")
    space_limit_s: float = 2.0


@dataclass(frozen=True, slots=True)
class _OpenFile:
    inode: int
    size: int


class Operations(pyfuse3.Operations):
    """pyfuse3's handlers over a tree and its verbs; one instance per mount."""

    # Without it open_by_handle_at asks for "." of inodes that we may have forgotten.
    supports_dot_lookup = False
    enable_writeback_cache = False
    enable_acl = False

    def __init__(
        self, tree: Tree[Any], verbs: Verbs, settings: OperationsSettings, invalidator: Invalidator
    ) -> None:
        super().__init__()
        self.gate = Gate()
        self.invalidator = invalidator
        self._tree = tree
        self._verbs = verbs
        self._settings = settings
        self._files: dict[int, _OpenFile] = {}
        # A hung cache disk holds up these two threads and nobody else's.
        self._space_threads = trio.CapacityLimiter(2)
        self._space: os.statvfs_result | None = None

    def limit_s(self, *, waits_for_data: bool) -> float:
        """Seconds until a handler is given up."""
        return self._settings.data_limit_s if waits_for_data else self._settings.limit_s

    # Names and attributes

    def _lookup_at_once(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes | None:
        found = self._tree.lookup_at_once(parent_inode, name)
        if found is None:
            return None
        return entry_attributes(found.attributes, self._settings.ownership, found.valid_s)

    @guarded(at_once=_lookup_at_once)
    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        try:
            found = await self._tree.lookup(parent_inode, name)
        except NoSuchName as error:
            valid_s = float(getattr(error, "valid_s", 0.0))
            if valid_s <= 0:
                raise
            return absent_entry(valid_s)
        return entry_attributes(found.attributes, self._settings.ownership, found.valid_s)

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """Lower lookup counts. The kernel wants no answer; an error here would end the mount."""
        for inode, count in inode_list:
            try:
                self._tree.forget(inode, count)
            except Exception:
                _log.exception("forgetting inode %d failed", inode)

    @guarded()
    async def getattr(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        return entry_attributes(await self._tree.attributes(inode), self._settings.ownership)

    @guarded()
    async def readlink(self, inode: int, ctx: pyfuse3.RequestContext) -> bytes:
        return bytes(self._tree.read_link(inode))

    @guarded()
    async def access(self, inode: int, mode: int, ctx: pyfuse3.RequestContext) -> bool:
        return True

    @guarded()
    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        with trio.move_on_after(self._settings.space_limit_s):
            self._space = await trio.to_thread.run_sync(
                self._tree.space, limiter=self._space_threads, abandon_on_cancel=True
            )
        if self._space is None:
            raise OssfsError("the cache's disk does not say what space it has")
        return space(self._space)

    # Directories

    @guarded()
    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        return await self._tree.open_directory(inode)

    @guarded()
    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        # One portion and no second await: once a name has been accepted nothing may fail, or the
        # kernel drops the answer while we have counted its lookups. A short answer is not the end.
        portion = await self._tree.list_directory(fh, start_id, _LISTING_BATCH)
        taken = reply(token, portion, self._settings.ownership)
        self._tree.tell(fh, portion, taken)

    @guarded()
    async def releasedir(self, fh: int) -> None:
        self._tree.close_directory(fh)

    # Files

    @guarded(waits_for_data=True)
    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        if flags & _MODIFYING_FLAGS:
            raise ReadOnly("files cannot be opened for writing")
        opened = await self._tree.open(inode)
        self._files[opened.handle] = _OpenFile(inode, opened.size)
        # An inode is one version of one object: pages usually stay true across opens. Where they
        # do not, the caller's own thread drops them here and no thread of ours may wait.
        return pyfuse3.FileInfo(fh=opened.handle, keep_cache=opened.pages_are_true)

    def _read_at_once(self, fh: int, off: int, size: int) -> bytes | None:
        # Nobody can ask between here and the answer whether the inode is being read.
        data = self._tree.read_at_once(fh, off, size)
        return None if data is None else self._whole(data, self._files[fh], off, size)

    @guarded(waits_for_data=True, at_once=_read_at_once)
    async def read(self, fh: int, off: int, size: int) -> bytes:
        file = self._files[fh]
        self.invalidator.read_started(file.inode)
        try:
            data = await self._tree.read(fh, off, size)
        finally:
            self.invalidator.read_finished(file.inode)
        return self._whole(data, file, off, size)

    @staticmethod
    def _whole(data: bytes | memoryview, file: _OpenFile, off: int, size: int) -> bytes:
        expected = max(0, min(size, file.size - off))
        if len(data) != expected:
            raise OssfsError(f"read at {off} gave {len(data)} bytes instead of {expected}")
        return data  # type: ignore[return-value]  # pyfuse3 takes any buffer, and sends it at once

    @guarded()
    async def release(self, fh: int) -> None:
        self._files.pop(fh, None)
        await self._tree.release(fh)

    @guarded()
    async def _nothing_to_write(self, *arguments: Any, **keywords: Any) -> None:
        # ENOSYS to these three means success, now and without asking for the rest of the mount:
        # one request less for each close(2).
        raise pyfuse3.FUSEError(errno.ENOSYS)

    flush = fsync = fsyncdir = _nothing_to_write

    @guarded()
    async def poll(
        self,
        inode: int,
        fh: int,
        poll_handle: pyfuse3.PollHandle | None,
        ctx: pyfuse3.RequestContext,
    ) -> int:
        raise pyfuse3.FUSEError(errno.ENOSYS)  # always ready, and the kernel need not ask again

    # Extended attributes

    @guarded()
    async def getxattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> bytes:
        return bytes(await self._verbs.get(inode, _verb(name, NoSuchAttribute)))

    @guarded()
    async def setxattr(
        self, inode: int, name: bytes, value: bytes, ctx: pyfuse3.RequestContext
    ) -> None:
        await self._verbs.set(inode, _verb(name, ReadOnly), value)

    @guarded()
    async def listxattr(self, inode: int, ctx: pyfuse3.RequestContext) -> Sequence[bytes]:
        return ()  # cp -a and rsync -X copy what is listed

    @guarded()
    async def removexattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        _verb(name, ReadOnly)
        raise ReadOnly("attributes cannot be removed")

    # Everything that would change the bucket

    @guarded()
    async def _refuse(self, *arguments: Any, **keywords: Any) -> NoReturn:
        raise ReadOnly("the bucket is never written to")

    setattr = mknod = mkdir = unlink = rmdir = symlink = rename = link = write = create = _refuse


def _verb(name: bytes, otherwise: type[OssfsError]) -> str:
    """The verb in an attribute's name.

    NotSupported outside ``user.``, ``otherwise`` for names in ``user.`` that are not ours.
    """
    if not name.startswith(_USER_PREFIX):
        raise NotSupported("only user attributes exist here")
    if not name.startswith(_VERB_PREFIX):
        raise otherwise("attributes of other programs cannot be kept here")
    return os.fsdecode(name.removeprefix(_VERB_PREFIX))
