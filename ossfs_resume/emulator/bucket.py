"""A directory as a bucket: open, put, delete and list objects. Blocking.

A key is looked for under its plain path first and then in the side folder; the index module says
which keys a listing shows, the keys module which path a key has.
"""

import contextlib
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self, TypeAlias

from ossfs_resume.emulator.index import SIDE_FOLDER, KeyIndex, plain_path, side_path
from ossfs_resume.emulator.object_facts import (
    ORDINARY,
    Digest,
    Facts,
    FactsCache,
    InventedObject,
    Inventions,
    Properties,
)
from ossfs_resume.emulator.refusal import Refusal, no_such_key


class StoredObject:
    """An open file of the bucket; one version, whatever happens to its name. Close it."""

    def __init__(self, path: bytes, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.stat = os.fstat(descriptor)

    @property
    def size(self) -> int:
        """Bytes of content."""
        return self.stat.st_size

    @property
    def modified(self) -> int:
        """Last-Modified in Unix seconds."""
        return self.stat.st_mtime_ns // 1_000_000_000

    def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes at ``offset``."""
        return os.pread(self.descriptor, length, offset)

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


Stored: TypeAlias = StoredObject | InventedObject


class Upload:
    """Content on its way into the bucket: visible as a whole after `Bucket.commit`, or never."""

    def __init__(self, folder: bytes, size: int) -> None:
        self._descriptor, self.path = tempfile.mkstemp(dir=folder)
        self._digest = Digest(size)

    def write(self, data: bytes) -> None:
        """Append."""
        self._digest.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def finish(self) -> Facts:
        """Close the file and return the facts of its content."""
        os.fchmod(self._descriptor, 0o644)
        os.close(self._descriptor)
        return self._digest.facts()

    def abort(self) -> None:
        """Remove what arrived."""
        os.close(self._descriptor)
        os.unlink(self.path)


class Bucket:
    """Objects below ``directory``, and invented ones; thread-safe as the file system is."""

    def __init__(
        self, directory: Path, inventions: Inventions | None = None, *, versioned: bool = False
    ) -> None:
        self._root = os.fsencode(directory.resolve(strict=True))
        self._side = os.path.join(self._root, SIDE_FOLDER, b"keys")
        self._incoming = os.path.join(self._root, SIDE_FOLDER, b"incoming")
        self._inventions = inventions or Inventions()
        self._index = KeyIndex(self._root, self._side, self._inventions.keys)
        self._versions = os.path.join(self._root, SIDE_FOLDER, b"versions")
        self._is_versioned = versioned
        self._properties: dict[bytes, Properties] = {}
        self._history: dict[tuple[bytes, str], Properties] = {}
        self.facts = FactsCache()

    def properties(self, key: bytes, version_id: str = "") -> Properties:
        """Return what was told of an object besides its content."""
        if version_id:
            return self._history.get((key, version_id), ORDINARY)
        return self._properties.get(key, ORDINARY)

    def open(self, key: bytes, version_id: str = "") -> Stored | None:
        """Open a version of an object, the current one by default; None if there is none."""
        if version_id:
            is_known = (key, version_id) in self._history
            return _open_file(self._version_path(version_id)) if is_known else None
        if invented := self._inventions.open(key):
            return invented
        for path in self._paths(key):
            if (stored := _open_file(path)) is not None:
                return stored
        return None

    def known_facts(self, stored: Stored) -> Facts | None:
        """Return the facts of an open object if they are remembered; never waits."""
        if isinstance(stored, InventedObject):
            return stored.facts
        return self.facts.known(stored.path, stored.stat)

    def compute_facts(self, stored: Stored) -> Facts:
        """Return the facts of an open object, reading it if need be."""
        if isinstance(stored, InventedObject):
            return stored.facts
        return self.known_facts(stored) or self.facts.compute(stored.path, stored.descriptor)

    def describe(self, key: bytes) -> tuple[int, int, Facts] | None:
        """Return size, time and facts of an object; it is opened only if they are not known."""
        if invented := self._inventions.open(key):
            return invented.size, invented.modified, invented.facts
        for path in self._paths(key):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                status = os.stat(path)
                if facts := self.facts.known(path, status):
                    return status.st_size, status.st_mtime_ns // 1_000_000_000, facts
        stored = self.open(key)
        if stored is None:
            return None
        try:
            return stored.size, stored.modified, self.compute_facts(stored)
        finally:
            stored.close()

    def keys(self, *, is_continuation: bool) -> Sequence[bytes]:
        """Return all keys in byte order; see `KeyIndex.keys`."""
        return self._index.keys(is_continuation=is_continuation)

    def start_upload(self, size: int) -> Upload:
        """Begin to take content of ``size`` bytes."""
        os.makedirs(self._incoming, exist_ok=True)
        return Upload(self._incoming, size)

    def commit(self, upload: Upload, key: bytes, properties: Properties = ORDINARY) -> Facts:
        """Make an upload the object's content, atomically."""
        facts = upload.finish()
        if self._is_versioned:
            properties = replace(properties, version_id=secrets.token_hex(16))
            self._history[key, properties.version_id] = properties
            os.makedirs(self._versions, exist_ok=True)
            os.link(upload.path, self._version_path(properties.version_id))
        self._properties[key] = properties
        plain, side = plain_path(key), os.path.join(self._side, side_path(key))
        if plain is not None and _move(upload.path, os.path.join(self._root, plain)):
            _remove(side)
        elif not _move(upload.path, side):
            raise OSError(f"cannot store {key!r}")
        self._index.invalidate()
        return facts

    def append(self, key: bytes, position: int, data: bytes) -> int:
        """Append to an object, or begin one; return its size."""
        path = os.path.join(self._root, key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "ab") as file:
            if file.tell() != position:
                message = "Position is not equal to file length"
                raise Refusal(409, "PositionNotEqualToLength", message, "0026-00000016")
            file.write(data)
            size = file.tell()
        self._properties[key] = Properties(object_type="Appendable")
        self._index.invalidate()
        return size

    def restore(self, key: bytes) -> None:
        """Make an archived object readable."""
        if key not in self._properties:
            raise no_such_key(key)
        self._properties[key] = self._properties[key].restored()

    def delete(self, key: bytes) -> None:
        """Remove an object; nothing happens if there is none."""
        self._properties.pop(key, None)
        for path in self._paths(key):
            _remove(path)
        self._index.invalidate()

    def _version_path(self, version_id: str) -> bytes:
        return os.path.join(self._versions, version_id.encode())

    def _paths(self, key: bytes) -> Iterator[bytes]:
        plain = plain_path(key)
        if plain is not None:
            yield os.path.join(self._root, plain)
        yield os.path.join(self._side, side_path(key))


def _open_file(path: bytes) -> StoredObject | None:
    """Open a regular file; None for anything else."""
    try:
        # Without O_NONBLOCK a FIFO would wait for its writer.
        stored = StoredObject(path, os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISREG(stored.stat.st_mode):
        return stored
    stored.close()
    return None


def _move(source: bytes, target: bytes) -> bool:
    """Rename into place, making directories; False if files and directories are in the way."""
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.replace(source, target)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        return False
    return True


def _remove(path: bytes) -> None:
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return
