"""What may be on a disk after the power went away, from the operations that went before.

Pure: operations in, images out, randomness passed in. The rules are the strictest that POSIX
leaves room for, stricter than any one file system:

- A write is safe only after a sync of its file that *began* later. Until then each of its 512-byte
  sectors may be lost or kept by itself, in any order; where a file grew, a lost sector is zeros or
  rubbish, and the file may have grown without any of its bytes.
- A name is safe only after a sync of its directory. Until then what happened to each name may be
  cut short anywhere, by itself; what lies in a directory that is not there is not there either.
"""

import enum
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

SECTOR = 512
DIRECTORY = -1
"""The number of every directory; files have numbers from 0 on."""


@dataclass(frozen=True, slots=True)
class Write:
    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    file: int
    size: int


@dataclass(frozen=True, slots=True)
class SyncFile:
    """``before`` is the number of operations that had begun when the sync began."""

    file: int
    before: int


@dataclass(frozen=True, slots=True)
class SyncDirectory:
    path: str
    before: int


@dataclass(frozen=True, slots=True)
class SyncAll:
    """Of all files and names there are."""

    before: int


@dataclass(frozen=True, slots=True)
class Link:
    """The name ``path``, relative to the root, becomes that of ``file``; None: of nothing."""

    path: str
    file: int | None


Operation = Write | Truncate | SyncFile | SyncDirectory | SyncAll | Link
Image = dict[str, bytes | None]
"""Contents by relative path; None is a directory."""


class Fate(enum.Enum):
    """What becomes of everything that was not synced."""

    KEPT = "kept"
    LOST = "lost"
    CUT = "cut"
    """Kept up to some moment."""
    SOME = "some"
    """Each operation by itself, in any order."""
    TORN = "torn"
    """Each sector and each name by itself, in any order."""


@dataclass(slots=True)
class _File:
    content: bytes = b""
    pending: list[tuple[int, Write | Truncate]] = field(default_factory=list)


class Disk:
    """The state after some operations."""

    def __init__(self, operations: Iterable[Operation] = ()) -> None:
        self._count = 0
        self._files: dict[int, _File] = {}
        self._names: dict[str, int | None] = {}
        self._pending_names: dict[str, list[tuple[int, int | None]]] = {}
        for operation in operations:
            self.apply(operation)

    def apply(self, operation: Operation) -> None:
        """One operation more."""
        match operation:
            case Write() | Truncate():
                file = self._files.setdefault(operation.file, _File())
                file.pending.append((self._count, operation))
            case Link():
                pending = self._pending_names.setdefault(operation.path, [])
                pending.append((self._count, operation.file))
            case SyncFile():
                self._sync_file(operation)
            case SyncDirectory():
                self._sync_directory(operation)
            case SyncAll():
                for number in self._files:
                    self._sync_file(SyncFile(number, operation.before))
                for folder in {str(PurePosixPath(path).parent) for path in self._pending_names}:
                    self._sync_directory(SyncDirectory(folder, operation.before))
        self._count += 1

    def image(self, fate: Fate, chance: random.Random) -> Image:
        """One of the states that the power cut may leave behind."""
        stop = chance.randrange(self._count + 1) if fate is Fate.CUT else self._count
        names = dict(self._names)
        for path, pending in self._pending_names.items():
            for file in _kept_names(pending, fate, stop, chance):
                names[path] = file
        there = {path: file for path, file in names.items() if file is not None}
        return {
            path: None if file == DIRECTORY else self._content(file, fate, stop, chance)
            for path, file in sorted(there.items())
            if all(there.get(parent) == DIRECTORY for parent in _parents(path))
        }

    def _content(self, number: int, fate: Fate, stop: int, chance: random.Random) -> bytes:
        file = self._files.get(number, _File())
        content = bytearray(file.content)
        pending = [operation for at, operation in file.pending if at < stop]
        if fate is Fate.LOST:
            return bytes(content)
        if fate in (Fate.SOME, Fate.TORN):
            pending = [
                operation for operation in pending if fate is Fate.TORN or chance.random() < 0.5
            ]
            if not any(isinstance(operation, Truncate) for operation in pending):
                chance.shuffle(pending)
        for operation in pending:
            if fate is Fate.TORN:
                _tear(content, operation, chance)
            else:
                _perform(content, operation)
        return bytes(content)

    def _sync_file(self, sync: SyncFile) -> None:
        file = self._files.setdefault(sync.file, _File())
        content = bytearray(file.content)
        for at, operation in file.pending:
            if at < sync.before:
                _perform(content, operation)
        file.content = bytes(content)
        file.pending = [item for item in file.pending if item[0] >= sync.before]

    def _sync_directory(self, sync: SyncDirectory) -> None:
        for path, pending in self._pending_names.items():
            if str(PurePosixPath(path).parent) == sync.path:
                for at, file in pending:
                    if at < sync.before:
                        self._names[path] = file
                pending[:] = [item for item in pending if item[0] >= sync.before]


def _parents(path: str) -> Iterator[str]:
    return (str(parent) for parent in PurePosixPath(path).parents if str(parent) != ".")


def _kept_names(
    pending: list[tuple[int, int | None]], fate: Fate, stop: int, chance: random.Random
) -> list[int | None]:
    """What the name means in the end, as a list of nothing or one."""
    kept = [file for at, file in pending if at < stop]
    if fate is Fate.LOST:
        kept = []
    if fate in (Fate.SOME, Fate.TORN):
        kept = kept[: chance.randint(0, len(kept))]
    return kept[-1:]


def _perform(content: bytearray, operation: Write | Truncate) -> None:
    if isinstance(operation, Truncate):
        del content[operation.size :]
        content.extend(bytes(operation.size - len(content)))
    else:
        content.extend(bytes(max(0, operation.offset - len(content))))
        content[operation.offset : operation.offset + len(operation.data)] = operation.data


def _tear(content: bytearray, operation: Write | Truncate, chance: random.Random) -> None:
    if isinstance(operation, Truncate):
        if chance.random() < 0.5:
            _perform(content, operation)
        return
    likelihood = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
    rubbish = chance.choice((b"\0", b"\xa5"))
    stop = operation.offset + len(operation.data)
    if chance.random() < 0.5:
        content.extend(rubbish * (stop - len(content)))
    start = operation.offset
    while start < stop:
        end = min(stop, (start // SECTOR + 1) * SECTOR)
        if chance.random() < likelihood:
            piece = operation.data[start - operation.offset : end - operation.offset]
            _perform(content, Write(operation.file, start, piece))
        start = end
