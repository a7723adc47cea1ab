"""Handlers called directly: conversions, errno values, lookup counts."""

import errno
import inspect
import os
import threading
from collections.abc import Awaitable
from types import ModuleType
from typing import Any

import pyfuse3
import pytest
import trio

from ossfs_resume.fuse.attributes import Ownership
from ossfs_resume.fuse.invalidation import Invalidator
from ossfs_resume.fuse.operations import Operations, OperationsSettings

CONTEXT: Any = object()
ROOT = 1


async def number_of(call: Awaitable[object]) -> int:
    with pytest.raises(pyfuse3.FUSEError) as raised:
        await call
    number: int = raised.value.errno
    return number


async def opened(operations: Operations, name: bytes) -> int:
    entry = await operations.lookup(ROOT, name, CONTEXT)
    info = await operations.open(entry.st_ino, os.O_RDONLY, CONTEXT)
    assert info.keep_cache
    return info.fh


async def test_a_file_is_looked_up_opened_read_and_released(operations: Operations) -> None:
    handle = await opened(operations, b"large.bin")
    assert await operations.read(handle, 8, 16) == (1).to_bytes(8, "little") + (2).to_bytes(
        8, "little"
    )
    await operations.release(handle)


async def test_reads_are_exact_at_and_beyond_the_end(operations: Operations) -> None:
    handle = await opened(operations, b"small.txt")
    assert await operations.read(handle, 4, 4096) == b"o\n"
    assert await operations.read(handle, 6, 4096) == b""


@pytest.mark.parametrize("name", [b"short.bin", b"long.bin", b"broken.bin"])
async def test_a_read_of_wrong_length_is_eio(operations: Operations, name: bytes) -> None:
    handle = await opened(operations, name)
    assert await number_of(operations.read(handle, 0, 4096)) == errno.EIO


async def test_absent_names_carry_a_lifetime_or_are_enoent(operations: Operations) -> None:
    entry = await operations.lookup(ROOT, b"absent", CONTEXT)
    assert (entry.st_ino, entry.entry_timeout) == (0, 5.0)
    assert await number_of(operations.lookup(ROOT, b"other", CONTEXT)) == errno.ENOENT


async def test_an_unknown_inode_is_stale(operations: Operations) -> None:
    assert await number_of(operations.getattr(999_999, CONTEXT)) == errno.ESTALE


@pytest.mark.parametrize(
    "flags", [os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND]
)
async def test_opening_for_writing_is_erofs(operations: Operations, flags: int) -> None:
    entry = await operations.lookup(ROOT, b"small.txt", CONTEXT)
    assert await number_of(operations.open(entry.st_ino, flags, CONTEXT)) == errno.EROFS


MODIFYING = ["setattr", "mknod", "mkdir", "unlink", "rmdir", "symlink", "rename", "link"]
MODIFYING += ["write", "create"]


@pytest.mark.parametrize("name", MODIFYING)
async def test_modifying_is_erofs(operations: Operations, name: str) -> None:
    assert await number_of(call_with_anything(operations, name)) == errno.EROFS


@pytest.mark.parametrize("name", ["flush", "fsync", "fsyncdir", "poll"])
async def test_what_the_kernel_may_stop_asking_is_enosys(operations: Operations, name: str) -> None:
    assert await number_of(call_with_anything(operations, name)) == errno.ENOSYS


def call_with_anything(operations: Operations, name: str) -> Awaitable[object]:
    """Call a handler with numbers for its parameters, as many as pyfuse3 passes."""
    declared = inspect.signature(getattr(pyfuse3.Operations, name)).parameters
    handler = getattr(operations, name)
    call: Awaitable[object] = handler(*[1] * (len(declared) - 1))
    return call


@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name, value in vars(pyfuse3.Operations).items()
        if inspect.iscoroutinefunction(value) and name != "forget"
    ),
)
async def test_no_handler_lets_a_defect_through(memory: ModuleType, name: str) -> None:
    """A tree that raises RuntimeError everywhere, and arguments of wrong types."""
    settings = OperationsSettings(Ownership(0, 0))
    operations = Operations(memory.Broken(), memory.Broken(), settings, Invalidator())
    try:
        await call_with_anything(operations, name)
    except pyfuse3.FUSEError:
        return
    assert name in ("access", "listxattr")


async def test_forget_never_raises_and_goes_on_after_a_failure(
    operations: Operations, memory: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    forgotten = []

    class Tree(memory.MemoryTree):  # type: ignore[misc, name-defined]
        def forget(self, inode: int, count: int) -> None:
            if inode == 5:
                raise KeyError(inode)
            forgotten.append((inode, count))

    operations._tree = Tree()
    await operations.forget([(5, 1), (6, 2)])
    assert forgotten == [(6, 2)]
    assert "inode 5" in caplog.text


async def test_lookup_counts_follow_what_the_kernel_accepted(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[bytes] = []

    def accept_three(_token: object, name: bytes, _entry: object, _next_id: int) -> bool:
        if len(taken) == 3:
            return False
        taken.append(name)
        return True

    monkeypatch.setattr(pyfuse3, "readdir_reply", accept_three)
    directory = await operations.opendir(ROOT, CONTEXT)
    await operations.readdir(directory, 0, CONTEXT)
    await operations.releasedir(directory)
    tree: Any = operations._tree
    assert len(taken) == 3
    assert tree.lookups == {tree.root.children[name].attributes.inode: 1 for name in taken}
    taken.clear()
    assert await number_of(operations.readdir(directory, 0, CONTEXT)) == errno.EIO


@pytest.mark.parametrize(
    ("name", "number"),
    [
        (b"security.capability", errno.ENOTSUP),
        (b"system.posix_acl_access", errno.ENOTSUP),
        (b"trusted.overlay", errno.ENOTSUP),
        (b"user.mime_type", errno.ENODATA),
        (b"user.ossfs.unknown", errno.ENODATA),
    ],
)
async def test_getxattr_errors(operations: Operations, name: bytes, number: int) -> None:
    assert await number_of(operations.getxattr(ROOT, name, CONTEXT)) == number


@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        (b"security.selinux", b"1", errno.ENOTSUP),
        (b"system.posix_acl_default", b"1", errno.ENOTSUP),
        (b"trusted.overlay", b"1", errno.ENOTSUP),
        (b"user.mime_type", b"1", errno.EROFS),
        (b"user.ossfs.unknown", b"1", errno.ENODATA),
        (b"user.ossfs.materialize", b"yes", errno.EINVAL),
    ],
)
async def test_setxattr_errors(
    operations: Operations, name: bytes, value: bytes, number: int
) -> None:
    assert await number_of(operations.setxattr(ROOT, name, value, CONTEXT)) == number


async def test_verbs_are_set_and_read(operations: Operations) -> None:
    await operations.setxattr(ROOT, b"user.ossfs.materialize", b"1", CONTEXT)
    assert await operations.getxattr(ROOT, b"user.ossfs.state", CONTEXT) == b"queued"


async def test_listxattr_is_empty_and_removing_is_refused(operations: Operations) -> None:
    assert list(await operations.listxattr(ROOT, CONTEXT)) == []
    remove = operations.removexattr
    assert await number_of(remove(ROOT, b"user.ossfs.pin", CONTEXT)) == errno.EROFS
    assert await number_of(remove(ROOT, b"security.selinux", CONTEXT)) == errno.ENOTSUP


async def test_statfs_tells_the_tree_s_space(operations: Operations) -> None:
    data = await operations.statfs(CONTEXT)
    assert data.f_blocks == os.statvfs("/").f_blocks


async def test_reads_in_progress_are_known_to_the_invalidator(
    operations: Operations, nursery: trio.Nursery
) -> None:
    tree: Any = operations._tree
    inode = tree.root.children[b"stalled.bin"].attributes.inode
    handle = await opened(operations, b"stalled.bin")

    async def read() -> None:
        assert await number_of(operations.read(handle, 0, 4096)) == errno.EIO

    nursery.start_soon(read)
    await trio.testing.wait_all_tasks_blocked()
    assert operations.invalidator._reads == {inode: 1}
    tree.stopped.set()
    await trio.testing.wait_all_tasks_blocked()
    assert operations.invalidator._reads == {}


async def test_the_space_of_a_disk_that_hangs_is_what_it_said_last(
    memory: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = memory.MemoryTree()
    settings = OperationsSettings(Ownership(1000, 1001), space_limit_s=0.01)
    operations = Operations(tree, memory.MemoryVerbs(tree), settings, Invalidator())
    known = os.statvfs("/")
    hangs = threading.Event()
    try:
        monkeypatch.setattr(tree, "space", hangs.wait)
        with pytest.raises(pyfuse3.FUSEError):
            await operations.statfs(CONTEXT)
        operations._space = known
        assert (await operations.statfs(CONTEXT)).f_blocks == known.f_blocks
    finally:
        hangs.set()
