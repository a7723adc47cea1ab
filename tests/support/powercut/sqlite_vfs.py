"""SQLite's writes, syncs and removals, seen from below.

Python's ``sqlite3`` cannot register a VFS, and APSW brings a SQLite of its own, which the module
under test does not use. But a VFS is a C structure of function pointers: this one is a copy of the
default one of the very library that ``sqlite3`` is linked with, in which the functions that change
files are Python's (https://www.sqlite.org/c3ref/vfs.html). Everything else (locks, shared memory)
stays what it is, so the code under test runs unchanged.
"""

import _sqlite3
import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_void_p
from typing import Any, Protocol

_OPEN_JOURNALS = 0x00000800 | 0x00080000  # SQLITE_OPEN_MAIN_JOURNAL, SQLITE_OPEN_WAL
_OPEN_CREATE = 0x00000004


class Observer(Protocol):
    """Is told before a change and after a sync; paths are absolute."""

    def created(self, path: str) -> None: ...
    def wrote(self, path: str, offset: int, data: bytes) -> None: ...
    def truncated(self, path: str, size: int) -> None: ...
    def removed(self, path: str) -> None: ...
    def syncing(self, path: str) -> Callable[[], None]: ...
    def syncing_folder(self, path: str) -> Callable[[], None]: ...
    def random_bytes(self, count: int) -> bytes: ...


# Names stay pointers: SQLite keeps the one that it gave to open, and reads beyond its end.
_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))
_DELETE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
_RANDOMNESS = CFUNCTYPE(c_int, c_void_p, c_int, c_void_p)
_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)
_CLOSE = CFUNCTYPE(c_int, c_void_p)


class _Vfs(ctypes.Structure):
    _fields_ = [
        ("version", c_int),
        ("file_bytes", c_int),
        ("path_bytes", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", _OPEN),
        ("delete", _DELETE),
        *((name, c_void_p) for name in ("access", "full", "dlopen", "dlerror", "dlsym", "dlclose")),
        ("randomness", _RANDOMNESS),
        *((f"other{number}", c_void_p) for number in range(7)),
    ]


class _Methods(ctypes.Structure):
    _fields_ = [
        ("version", c_int),
        ("close", _CLOSE),
        ("read", c_void_p),
        ("write", _WRITE),
        ("truncate", _TRUNCATE),
        ("sync", _SYNC),
        *((f"other{number}", c_void_p) for number in range(13)),
    ]


class _Watched:
    """The functions of one registration; they live as long as SQLite may call them."""

    def __init__(self, real: Any, name: bytes, observer: Observer) -> None:
        self._real, self._observer = real, observer
        self._paths: dict[int, str] = {}
        self._new_journals: set[int] = set()
        self._real_methods: dict[int, _Methods] = {}
        self._tables: dict[int, _Methods] = {}
        self.vfs = _Vfs.from_buffer_copy(real.contents)
        self.vfs.name = name
        self.vfs.open = _OPEN(self._open)
        self.vfs.delete = _DELETE(self._delete)
        self.vfs.randomness = _RANDOMNESS(self._randomness)

    def _open(self, _: int, name: int | None, file: int, flags: int, out: Any) -> int:
        path = ctypes.string_at(name).decode() if name else ""
        is_new = flags & _OPEN_CREATE and path and not os.path.exists(path)
        result = self._real.contents.open(
            ctypes.addressof(self._real.contents), name, file, flags, out
        )
        if result == 0 and path:
            self._paths[file] = path
            if is_new:
                self._observer.created(path)
            if is_new and flags & _OPEN_JOURNALS:
                self._new_journals.add(file)
            self._watch(file)
        return int(result)

    def _watch(self, file: int) -> None:
        """Give an open file the watched methods, in the first word of its structure."""
        pointer = c_void_p.from_address(file)
        address = pointer.value or 0
        if address not in self._tables:
            real = _Methods.from_address(address)
            table = _Methods.from_buffer_copy(real)
            table.write, table.sync = _WRITE(self._write), _SYNC(self._sync)
            table.truncate, table.close = _TRUNCATE(self._truncate), _CLOSE(self._close)
            self._tables[address] = table
        table = self._tables[address]
        self._real_methods[file] = _Methods.from_address(address)
        pointer.value = ctypes.addressof(table)

    def _write(self, file: int, data: int, length: int, offset: int) -> int:
        self._observer.wrote(self._paths[file], offset, ctypes.string_at(data, length))
        return int(self._real_methods[file].write(file, data, length, offset))

    def _truncate(self, file: int, size: int) -> int:
        self._observer.truncated(self._paths[file], size)
        return int(self._real_methods[file].truncate(file, size))

    def _sync(self, file: int, flags: int) -> int:
        """The unix VFS also syncs the folder when it syncs a new journal for the first time."""
        path = self._paths[file]
        ended = [self._observer.syncing(path)]
        if file in self._new_journals:
            self._new_journals.remove(file)
            ended.append(self._observer.syncing_folder(path.rpartition("/")[0]))
        result = int(self._real_methods[file].sync(file, flags))
        for end in ended if result == 0 else []:
            end()
        return result

    def _close(self, file: int) -> int:
        self._paths.pop(file)
        self._new_journals.discard(file)
        return int(self._real_methods.pop(file).close(file))

    def _delete(self, _: int, name: int, with_sync: int) -> int:
        path = ctypes.string_at(name).decode()
        if os.path.exists(path):
            self._observer.removed(path)
        end = self._observer.syncing_folder(path.rpartition("/")[0])
        result = int(
            self._real.contents.delete(ctypes.addressof(self._real.contents), name, with_sync)
        )
        if with_sync and result == 0:
            end()
        return result

    def _randomness(self, _: int, length: int, buffer: int) -> int:
        ctypes.memmove(buffer, self._observer.random_bytes(length), length)
        return length


@contextmanager
def watched_sqlite(observer: Observer) -> Iterator[None]:
    """Every connection opened inside tells ``observer``; close them all before leaving.

    The VFS for one process alone is asked for by its name: its copy has the same, and is found
    first.
    """
    library = ctypes.CDLL(_sqlite3.__file__)  # finds the symbols of what it is linked with, too
    library.sqlite3_vfs_find.restype = POINTER(_Vfs)
    real, alone = library.sqlite3_vfs_find(None), library.sqlite3_vfs_find(b"unix-excl")
    watched = [_Watched(real, b"watched", observer), _Watched(alone, b"unix-excl", observer)]
    library.sqlite3_vfs_register(ctypes.byref(watched[1].vfs), 1)
    library.sqlite3_vfs_register(ctypes.byref(watched[0].vfs), 1)
    library.sqlite3_randomness(0, None)  # seeded anew, from the watched VFS
    try:
        yield
    finally:
        for each in watched:
            library.sqlite3_vfs_unregister(ctypes.byref(each.vfs))
        library.sqlite3_vfs_register(real, 1)
        library.sqlite3_randomness(0, None)
