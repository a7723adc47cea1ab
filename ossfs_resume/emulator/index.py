"""All keys of the bucket in byte order, kept in memory.

Looking again costs one stat per directory: only those whose modification time moved are read
again. As with files, a directory that changed within the last ticks of the kernel's clock could
change again unseen and is read again next time.

A key is a *plain* path when every component can be a file name; any other key gets a *side* path:
the key percent-encoded and cut into names of `_CHUNK` characters. All but the last name end in
``+``, which the encoding never produces, so no side path is a directory of another.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote_from_bytes, unquote_to_bytes

SIDE_FOLDER = b".ossfs-emulator"
MAX_KEY_BYTES = 1023
_MAX_NAME_BYTES = 255
_CHUNK = 200


def plain_path(key: bytes) -> bytes | None:
    """Return the relative path that expresses ``key``, or None if no path does."""
    names = key.split(b"/")
    is_plain = names[0] != SIDE_FOLDER and b"\0" not in key and all(map(_is_name, names))
    return key if is_plain else None


def side_path(key: bytes) -> bytes:
    """Return the path of ``key`` relative to the side folder's keys; any key has one."""
    text = quote_from_bytes(key, safe="").replace(".", "%2E").encode()
    chunks = [text[i : i + _CHUNK] for i in range(0, len(text), _CHUNK)]
    return b"+/".join(chunks)


def side_key(path: bytes) -> bytes:
    """Return the key of a side path."""
    return unquote_to_bytes(path.replace(b"+/", b""))


def _is_name(name: bytes) -> bool:
    return 0 < len(name) <= _MAX_NAME_BYTES and name not in (b".", b"..")


_SETTLE_NS = 100_000_000
_MAX_AGE_S = 1.0


class KeyIndex:
    """Sorted keys of a directory and of its side folder; thread-safe."""

    def __init__(self, root: bytes, side: bytes, invented: Sequence[bytes] = ()) -> None:
        self._scans = (_TreeScan(root, lambda path: path), _TreeScan(side, side_key))
        self._lock = threading.Lock()
        self._invented = invented
        self._keys: Sequence[bytes] = invented
        self._looked_at = float("-inf")

    def keys(self, *, is_continuation: bool) -> Sequence[bytes]:
        """Return the keys; never modified afterwards.

        The first page of a listing always sees what is on the disk; the pages that continue it
        look again at most once a second.
        """
        with self._lock:
            now = time.monotonic()
            if not is_continuation or now - self._looked_at >= _MAX_AGE_S:
                self._looked_at = now
                self._refresh()
            return self._keys

    def invalidate(self) -> None:
        """Make the next page look again: the endpoint itself changed a key."""
        self._looked_at = float("-inf")

    def _refresh(self) -> None:
        changes = [scan.refresh() for scan in self._scans]
        if any(changes):
            found = {key for scan in self._scans for key in scan.found()}
            self._keys = sorted(found.union(self._invented))


@dataclass(frozen=True, slots=True)
class _Directory:
    modified_ns: int
    is_settled: bool
    keys: tuple[bytes, ...]
    folders: tuple[bytes, ...]


class _TreeScan:
    """The files below one directory, each turned into a key."""

    def __init__(self, root: bytes, key_of: Callable[[bytes], bytes]) -> None:
        self._root = root
        self._key_of = key_of
        self._directories: dict[bytes, _Directory] = {}

    def found(self) -> list[bytes]:
        """Return the keys of the last scan, in no order."""
        return [key for directory in self._directories.values() for key in directory.keys]

    def refresh(self) -> bool:
        """Scan what moved; return whether any key came or went."""
        found: dict[bytes, _Directory] = {}
        pending = [b""]
        while pending:
            path = pending.pop()
            directory = self._look(path)
            if directory is not None:
                found[path] = directory
                pending.extend(directory.folders)
        is_changed = _content(found) != _content(self._directories)
        self._directories = found
        return is_changed

    def _look(self, path: bytes) -> _Directory | None:
        """Return the directory, read again unless it is the one known; None if it is gone, or
        may not be read."""
        full = os.path.join(self._root, path)
        try:
            modified_ns = os.stat(full).st_mtime_ns
            known = self._directories.get(path)
            if known and known.is_settled and known.modified_ns == modified_ns:
                return known
            return self._read(path, full, modified_ns)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None

    def _read(self, path: bytes, full: bytes, modified_ns: int) -> _Directory:
        is_settled = time.time_ns() - modified_ns > _SETTLE_NS
        keys: list[bytes] = []
        folders: list[bytes] = []
        with os.scandir(full) as entries:
            for entry in entries:
                inner = os.path.join(path, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    if inner != SIDE_FOLDER:
                        folders.append(inner)
                elif _is_file(entry):
                    keys.append(self._key_of(inner))
        return _Directory(modified_ns, is_settled, tuple(keys), tuple(folders))


def _is_file(entry: os.DirEntry[bytes]) -> bool:
    """Whether it is one, or a link to one; a link to itself is nothing."""
    try:
        return entry.is_file()
    except OSError:
        return False


def _content(directories: dict[bytes, _Directory]) -> dict[bytes, tuple[bytes, ...]]:
    return {path: directory.keys for path, directory in directories.items()}
