"""Adding whole parts to an open entry.

Bytes are in the file before a part is marked; a part that could not be written is not marked. An
entry whose row or file another process removed is superseded the moment that a writer notices. No
part is written while it is being removed, nor removed while it is being written.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import chain

from ossfs_resume.cache.backing import Backing, Superseded
from ossfs_resume.cache.crc64 import checksum
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.progress import Progress
from ossfs_resume.cache.storage import Storage
from ossfs_resume.cache.trust import Trust

Parts = Sequence[Sequence[bytes | memoryview]]
"""Consecutive parts, each as its chunks."""

Room = Callable[[int], AbstractContextManager[None]]
"""Inside it so many bytes may be written; entering blocks and may raise CacheError."""


class PartWriting:
    """Of one entry; thread-safe."""

    def __init__(
        self,
        version: ObjectVersion,
        progress: Progress,
        backing: Backing,
        trust: Trust,
        room: Room,
    ) -> None:
        self._version = version
        self._progress = progress
        self._backing = backing
        self._trust = trust
        self._room = room

    def write(self, first: int, parts: Parts) -> int:
        """Store ``parts`` from ``first`` on; how many bytes they are.

        Raises CacheError, and marks nothing, if they could not be stored; ValueError, IndexError.
        """
        progress, numbers = self._progress, range(first, first + len(parts))
        offset, stop = progress.geometry.bytes_of(first, numbers.stop)
        self._require_lengths(numbers, parts)
        crcs = [checksum(chunks) for chunks in parts]
        progress.require_open()
        epoch = progress.begin_writing(numbers)
        try:
            file = self._backed_file()
            with self._room(file.takes(stop - offset)):
                with self._trust.translated(f"write {self._version.key!r}"):
                    self._write(file, offset, parts)
                progress.wrote(first, crcs, epoch)
        finally:
            progress.end_writing(numbers)
        return stop - offset

    def _require_lengths(self, numbers: range, parts: Parts) -> None:
        geometry = self._progress.geometry
        size, last = geometry.part_size, geometry.part_count - 1
        for part, chunks in zip(numbers, parts, strict=True):
            wanted = size if part != last else geometry.last_part_bytes
            if sum(map(len, chunks)) != wanted:
                raise ValueError(f"part {part} of {self._version.key!r} has not {wanted} bytes")

    def _write(self, file: Storage, offset: int, parts: Parts) -> None:
        try:
            file.write(offset, chain.from_iterable(parts))
        except FileNotFoundError:
            self._progress.supersede()
            raise

    def _backed_file(self) -> Storage:
        try:
            return self._backing.ensure()
        except Superseded:
            self._progress.supersede()
            raise
