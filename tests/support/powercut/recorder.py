"""Writes down, in one order, everything that changes a folder.

It stands where the system calls are: the functions of ``os`` for our own code (pathlib calls them
by their names there), a VFS for SQLite. So what is recorded is what really happens, and not what
some layer says it does.
"""

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from ossfs_resume.cache import data_file
from support.powercut.disk import (
    DIRECTORY,
    Link,
    Operation,
    SyncAll,
    SyncDirectory,
    SyncFile,
    Truncate,
    Write,
)
from support.powercut.sqlite_vfs import watched_sqlite


class Recorder:
    """The operations on everything below ``root``, which are empty or durable at first."""

    def __init__(self, root: Path, seed: int = 0) -> None:
        self.root = root
        self.operations: list[Operation] = []
        self._lock = threading.RLock()
        self._files: dict[str, int] = {}
        self._descriptors: dict[int, tuple[str, int]] = {}
        self._made = 0
        self._chance = random.Random(seed)
        self._adopt()
        self.started = len(self.operations)

    # --- for the VFS ---

    def created(self, path: str) -> None:
        if (name := self._name(path)) is not None:
            self._create(name)

    def wrote(self, path: str, offset: int, data: bytes) -> None:
        if (number := self._number(path)) is not None:
            self._add(Write(number, offset, data))

    def truncated(self, path: str, size: int) -> None:
        if (number := self._number(path)) is not None:
            self._add(Truncate(number, size))

    def removed(self, path: str) -> None:
        if (name := self._name(path)) is not None and self._files.pop(name, None) is not None:
            self._add(Link(name, None))

    def syncing(self, path: str) -> Callable[[], None]:
        number, before = self._number(path), len(self.operations)
        return lambda: None if number is None else self._add(SyncFile(number, before))

    def syncing_folder(self, path: str) -> Callable[[], None]:
        name, before = self._name(path), len(self.operations)
        return lambda: None if name is None else self._add(SyncDirectory(name, before))

    def random_bytes(self, count: int) -> bytes:
        return self._chance.randbytes(count)

    # --- instead of the functions of os ---

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record what this process does inside."""
        names = ("open", "close", "pwritev", "fsync", "fdatasync", "unlink", "mkdir", "rename")
        with ExitStack() as stack:
            stack.enter_context(watched_sqlite(self))
            for name in names:
                replaced = getattr(self, f"_os_{name}")
                stack.enter_context(
                    mock.patch.object(os, name, _bound(replaced, getattr(os, name)))
                )
            stack.enter_context(
                mock.patch.object(data_file, "syncfs", _bound(self._syncfs, data_file.syncfs))
            )
            yield

    def _os_open(self, real: Any, path: Any, flags: int, *rest: Any, **more: Any) -> int:
        full = _full(path, **more) if isinstance(path, str | os.PathLike) else ""
        name = self._name(full)
        if name is not None and flags & os.O_CREAT and not os.path.exists(full):
            self._create(name)
        descriptor = int(real(path, flags, *rest, **more))
        self._descriptors.pop(descriptor, None)
        if name is not None:
            self._descriptors[descriptor] = (name, self._files.get(name, DIRECTORY))
        return descriptor

    def _os_close(self, real: Any, descriptor: int) -> None:
        self._descriptors.pop(descriptor, None)
        real(descriptor)

    def _os_pwritev(self, real: Any, descriptor: int, views: Any, offset: int) -> int:
        if descriptor in self._descriptors:
            data = b"".join(views)
            self._add(Write(self._descriptors[descriptor][1], offset, data))
        return int(real(descriptor, views, offset))

    def _os_fsync(self, real: Any, descriptor: int) -> None:
        found, before = self._descriptors.get(descriptor), len(self.operations)
        real(descriptor)
        if found:
            name, number = found
            is_folder = number == DIRECTORY
            self._add(SyncDirectory(name, before) if is_folder else SyncFile(number, before))

    _os_fdatasync = _os_fsync

    def _syncfs(self, real: Any, descriptor: int) -> None:
        before = len(self.operations)
        real(descriptor)
        self._add(SyncAll(before))

    def _os_unlink(self, real: Any, path: Any, **more: Any) -> None:
        full = _full(path, **more)
        if os.path.lexists(full):
            self.removed(full)
        real(path, **more)

    def _os_mkdir(self, real: Any, path: Any, *rest: Any, **more: Any) -> None:
        real(path, *rest, **more)
        if (name := self._name(_full(path, **more))) is not None:
            self._add(Link(name, DIRECTORY))

    def _os_rename(self, real: Any, source: Any, target: Any, **more: Any) -> None:
        if self._name(_full(source, more.get("src_dir_fd"))) is not None:
            raise NotImplementedError("nothing is renamed unless the catalogue is damaged")
        real(source, target, **more)

    # --- helpers ---

    def _adopt(self) -> None:
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if path.is_dir():
                self._add(Link(name, DIRECTORY))
            else:
                number = self._create(name)
                self._add(Write(number, 0, path.read_bytes()))
                self._add(SyncFile(number, len(self.operations)))
        for folder in {str(path.parent.relative_to(self.root)) for path in self.root.rglob("*")}:
            self._add(SyncDirectory(folder, len(self.operations)))

    def _add(self, operation: Operation) -> None:
        with self._lock:
            self.operations.append(operation)

    def _create(self, name: str) -> int:
        with self._lock:
            number = self._files[name] = self._made
            self._made += 1
            self._add(Link(name, number))
            return number

    def _name(self, path: str) -> str | None:
        """Relative to the root; None for what lies outside or is forgotten at once anyway."""
        if not path.startswith(f"{self.root}/") and path != str(self.root):
            return None
        name = os.path.relpath(path, self.root)
        return None if "/owners/" in f"/{name}" or name.endswith("/ballast") else name

    def _number(self, path: str) -> int | None:
        name = self._name(path)
        return None if name is None else self._files[name]


def _full(path: Any, dir_fd: int | None = None) -> str:
    """The absolute path of what is named below an open directory."""
    name = os.fspath(path)
    return name if dir_fd is None else f"{os.readlink(f'/proc/self/fd/{dir_fd}')}/{name}"


def _bound(replacement: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *rest, **more: replacement(real, *rest, **more)
