"""A mount of a small tree in memory: a module for the tests, and a script that serves it.

    python memory_mount.py MOUNTPOINT [--names N] [--allow-other] [--break]

The script prints one JSON line when the mount is ready and exits 1 with one line on standard error
if it cannot be made. Files of special behaviour are described at :func:`files`.
"""

import argparse
import json
import logging
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio

from ossfs_resume.errors import (
    BadValue,
    IsADirectory,
    MountError,
    NoSuchAttribute,
    NoSuchName,
    NotADirectory,
    ShuttingDown,
    StaleVersion,
)
from ossfs_resume.vfs.models import Portion

MODIFIED_NS = 1_700_000_000_000_000_000
STALLED_SIZE = 1 << 30


@dataclass(frozen=True, slots=True)
class MemoryAttributes:
    inode: int
    is_directory: bool
    size: int = 0
    allocated_bytes: int = 0
    modified_ns: int = MODIFIED_NS
    valid_s: float = 60.0
    listable: bool = True
    is_link: bool = False


@dataclass(frozen=True, slots=True)
class MemoryListed:
    name: bytes
    attributes: MemoryAttributes
    next_offset: int
    valid_s: float = 60.0


class AbsentName(NoSuchName):
    valid_s = 5.0


@dataclass(frozen=True, slots=True)
class MemoryOpened:
    handle: int
    size: int
    pages_are_true: bool = True


@dataclass
class Node:
    attributes: MemoryAttributes
    read: Callable[[int, int], bytes] | None = None
    children: dict[bytes, "Node"] = field(default_factory=dict)


def pattern(offset: int, length: int) -> bytes:
    """Bytes that differ from page to page and from file position to file position."""
    first = offset // 8
    words = b"".join(n.to_bytes(8, "little") for n in range(first, (offset + length) // 8 + 1))
    return words[offset - first * 8 :][:length]


def files() -> dict[bytes, tuple[int, Callable[[int, int], bytes] | None]]:
    """Name -> size and content. ``None`` is a read that waits until the mount goes away."""

    def broken(offset: int, length: int) -> bytes:
        raise RuntimeError("a defect in read")

    return {
        b"small.txt": (6, lambda offset, length: b"hello\n"[offset : offset + length]),
        b"large.bin": (3 * 1024 * 1024 + 123, pattern),
        b"short.bin": (100_000, lambda offset, length: bytes(length - 1)),
        b"long.bin": (100_000, lambda offset, length: bytes(length + 1)),
        b"broken.bin": (100_000, broken),
        b"stalled.bin": (STALLED_SIZE, None),
        b"empty.bin": (0, pattern),
    }


class MemoryTree:
    """Root with the special files, ``dir/inner.txt`` and ``many/`` with numbered names."""

    def __init__(self, many: int = 1000) -> None:
        self._nodes: dict[int, Node] = {}
        self._handles: dict[int, Node] = {}
        self._next_handle = 1
        self._sorted: tuple[Node, list[tuple[bytes, Node]]] | None = None
        self.lookups: dict[int, int] = {}
        self.root = self._add_directory()
        for name, (size, read) in files().items():
            self.root.children[name] = self._add_file(size, read)
        directory = self._add_directory()
        directory.children[b"inner.txt"] = self._add_file(5, lambda o, n: b"inner"[o : o + n])
        self.root.children[b"dir"] = directory
        self.root.children[b"hidden"] = self._add_directory(listable=False)
        self.root.children[b"many"] = self._add_directory()
        for number in range(many):
            self.root.children[b"many"].children[b"%08d" % number] = self._add_file(9, pattern)
        self.stalled = 0
        self.stopped = trio.Event()
        self.stalled_changed = trio.Condition()

    def _add(self, node: Node) -> Node:
        self._nodes[node.attributes.inode] = node
        return node

    def _add_file(self, size: int, read: Callable[[int, int], bytes] | None) -> Node:
        return self._add(Node(MemoryAttributes(len(self._nodes) + 1, False, size, 0), read))

    def _add_directory(self, *, listable: bool = True) -> Node:
        inode = len(self._nodes) + 1
        return self._add(Node(MemoryAttributes(inode, True, listable=listable)))

    def _node(self, inode: int) -> Node:
        if inode not in self._nodes:
            raise StaleVersion(f"inode {inode}")
        return self._nodes[inode]

    def _handle(self, node: Node) -> int:
        handle, self._next_handle = self._next_handle, self._next_handle + 1
        self._handles[handle] = node
        return handle

    def _count(self, inode: int, count: int) -> None:
        self.lookups[inode] = self.lookups.get(inode, 0) + count

    def lookup_at_once(self, parent: int, name: bytes) -> None:
        """Every name has to be waited for."""

    async def lookup(self, parent: int, name: bytes) -> MemoryListed:
        child = self._node(parent).children.get(name)
        if child is None:
            raise AbsentName if name.startswith(b"absent") else NoSuchName(os.fsdecode(name))
        self._count(child.attributes.inode, 1)
        return MemoryListed(name, child.attributes, 0)

    def forget(self, inode: int, count: int) -> None:
        self._count(inode, -count)

    def read_link(self, inode: int) -> bytes:
        raise BadValue(f"{inode} is no symbolic link")

    async def attributes(self, inode: int) -> MemoryAttributes:
        return self._node(inode).attributes

    async def open_directory(self, inode: int) -> int:
        if not self._node(inode).attributes.is_directory:
            raise NotADirectory(str(inode))
        return self._handle(self._node(inode))

    async def list_directory(self, handle: int, offset: int, limit: int) -> Portion:
        node = self._handles[handle]
        if self._sorted is None or self._sorted[0] is not node:
            self._sorted = (node, sorted(node.children.items(), key=lambda item: item[0]))
        batch = self._sorted[1][offset : offset + limit]
        files = [child.attributes for _, child in batch]
        return Portion(
            offset,
            [name for name, _ in batch],
            [file.inode for file in files],
            [file.size for file in files],
            [file.allocated_bytes for file in files],
            [file.modified_ns // 10**9 for file in files],
            {index: (file, 60.0) for index, file in enumerate(files) if file.is_directory},
            60.0,
            60.0,
        )

    def tell(self, handle: int, portion: Portion, taken: int) -> None:
        for inode in portion.inodes[:taken]:
            self._count(inode, 1)

    def close_directory(self, handle: int) -> None:
        del self._handles[handle]

    async def open(self, inode: int) -> MemoryOpened:
        node = self._node(inode)
        if node.attributes.is_directory:
            raise IsADirectory(str(inode))
        return MemoryOpened(self._handle(node), node.attributes.size)

    def read_at_once(self, handle: int, offset: int, length: int) -> bytes | None:
        node = self._handles[handle]
        if node.read is None:
            return None
        return node.read(offset, min(length, node.attributes.size - offset))

    async def read(self, handle: int, offset: int, length: int) -> bytes:
        await self._stall()
        raise ShuttingDown("the mount is going away")

    async def _stall(self) -> None:
        self.stalled += 1
        async with self.stalled_changed:
            self.stalled_changed.notify_all()
        try:
            await self.stopped.wait()
        finally:
            self.stalled -= 1

    async def release(self, handle: int) -> None:
        del self._handles[handle]

    def space(self) -> os.statvfs_result:
        return os.statvfs("/")


class MemoryVerbs:
    """``stalled.N`` answers once N reads are stalled; ``invalidate`` drops the kernel's pages;
    ``race`` has a caller on the mount VALUE killed, see :func:`lose_request`."""

    def __init__(self, tree: MemoryTree, invalidate: Callable[[int], None] = lambda _: None):
        self._tree = tree
        self._invalidate = invalidate
        self.values: dict[str, bytes] = {}

    async def set(self, inode: int, name: str, value: bytes) -> None:
        if name == "race":
            await lose_request(os.fsdecode(value))
        elif name == "invalidate":
            self._invalidate(inode)
        elif name == "materialize":
            if value != b"1":
                raise BadValue(f"{value!r} is not 1")
            self.values["state"] = b"queued"
        else:
            raise NoSuchAttribute(name)

    async def get(self, inode: int, name: str) -> bytes:
        if name.startswith("stalled."):
            async with self._tree.stalled_changed:
                while self._tree.stalled < int(name.partition(".")[2]):
                    await self._tree.stalled_changed.wait()
            return b"%d" % self._tree.stalled
        if name not in self.values:
            raise NoSuchAttribute(name)
        return self.values[name]


async def lose_request(mountpoint: str) -> None:
    """Make the device readable, let pyfuse3's task be woken, then take the request away.

    The caller is killed after the event loop saw its request and before the task that waits for it
    ran. Both run in the same round of the loop, in random order; hence the repetition. Afterwards a
    task proves that the loop goes on by writing ``alive``, unless it waits in the device for ever.
    The caller uses the root, so the verb must be set elsewhere: the kernel locks that inode.
    """
    device = select.poll()
    device.register(_device(), select.POLLIN)
    for _ in range(50):
        await trio.sleep(0.01)  # until the next task waits for the device
        code = "import os, sys; os.stat(sys.argv[1] + '/other')"
        command = [sys.executable, "-S", "-c", code, mountpoint]
        caller = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: ASYNC220
        assert device.poll(30_000)
        await trio.lowlevel.checkpoint()
        is_unread = bool(device.poll(0))
        caller.kill()
        caller.wait()
        if is_unread and not device.poll(0):
            trio.lowlevel.spawn_system_task(_write_alive)
            return
    raise BadValue("the race was not won")


def _device() -> int:
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}") == "/dev/fuse":
                return int(name)
        except FileNotFoundError:
            continue
    raise BadValue("the device is not open")


async def _write_alive() -> None:
    await trio.sleep(0.05)
    sys.stdout.write("alive\n")
    sys.stdout.flush()


def leak() -> int:
    """A child that keeps the device open when this process is killed, as a thread of it would that
    the kernel does not let go of; its number."""
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(1)
        while True:
            signal.pause()
    return child


class Broken:
    """Every method of it raises RuntimeError."""

    def __getattr__(self, name: str) -> Any:
        def fail(*arguments: object) -> object:
            raise RuntimeError(f"a defect in {name}")

        return fail


def main() -> int:
    from ossfs_resume.fuse import kernel
    from ossfs_resume.fuse.attributes import Ownership
    from ossfs_resume.fuse.invalidation import Invalidator
    from ossfs_resume.fuse.kernel import KernelReport
    from ossfs_resume.fuse.operations import Operations, OperationsSettings
    from ossfs_resume.fuse.options import SessionSettings
    from ossfs_resume.fuse.session import SessionEvents, serve

    parser = argparse.ArgumentParser()
    parser.add_argument("mountpoint")
    parser.add_argument("--names", type=int, default=1000)
    parser.add_argument("--allow-other", action="store_true")
    parser.add_argument("--break", dest="is_broken", action="store_true")
    parser.add_argument("--deaf", action="store_true", help="readers are not told of a stop")
    parser.add_argument("--leak", action="store_true", help="leave the device open in a child")
    parser.add_argument("--fail", action="store_true", help="at SIGHUP and SIGUSR2")
    parser.add_argument("--reckless", action="store_true", help="drop pages that are being read")
    parser.add_argument("--without-fusectl", action="store_true", help="nobody can cut it")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)

    async def run() -> None:
        tree, invalidator = MemoryTree(arguments.names), Invalidator()
        if arguments.reckless:
            invalidator.read_started = lambda inode: None
            invalidator.read_finished = lambda inode: None
        if arguments.without_fusectl:
            kernel.open_abort = lambda minor: None
        verbs = MemoryVerbs(tree, invalidator.data)
        ownership = Ownership(os.getuid(), os.getgid())
        operations = Operations(tree, verbs, OperationsSettings(ownership), invalidator)

        def ready(report: KernelReport) -> None:
            if arguments.is_broken:
                operations._tree = operations._verbs = Broken()
            line = {"read_ahead_kib": report.read_ahead_kib, "background": report.max_background}
            if arguments.leak:
                line["child"] = leak()
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()

        def stop() -> None:
            if not arguments.deaf:
                tree.stopped.set()

        settings = SessionSettings(
            "oss://a,b\\c/p", arguments.mountpoint, allow_other=arguments.allow_other
        )

        def tell(name: str) -> None:
            if arguments.fail:
                raise RuntimeError("a defect in a callback")
            sys.stdout.write(f"{name}\n")
            sys.stdout.flush()

        events = SessionEvents(
            on_ready=ready,
            on_stop=stop,
            on_hangup=lambda: tell("SIGHUP"),
            on_user_signal=lambda: tell("SIGUSR2"),
        )
        await serve(operations, settings, events)

    try:
        trio.run(run)
    except MountError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
