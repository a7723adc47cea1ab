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
from ossfs_resume.cache.datafile import DataFile
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.progress import Progress
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
        offset, stop = self._progress.geometry.bytes_of(first, first + len(parts))
        self._require_lengths(first, parts)
        crcs = [checksum(chunks) for chunks in parts]
        self._progress.require_open()
        with self._progress.writing(range(first, first + len(parts))) as epoch:
            file = self._backed_file()
            with self._room(stop - offset):
                with self._trust.translated(f"write {self._version.key!r}"):
                    self._write(file, offset, parts)
                self._progress.wrote(first, crcs, epoch)
        return stop - offset

    def _require_lengths(self, first: int, parts: Parts) -> None:
        for part, chunks in enumerate(parts, first):
            start, stop = self._progress.geometry.span(part)
            if sum(map(len, chunks)) != stop - start:
                raise ValueError(
                    f"part {part} of {self._version.key!r} has not {stop - start} bytes"
                )

    def _write(self, file: DataFile, offset: int, parts: Parts) -> None:
        try:
            file.write(offset, chain.from_iterable(parts))
        except FileNotFoundError:
            self._progress.supersede()
            raise

    def _backed_file(self) -> DataFile:
        try:
            return self._backing.ensure()
        except Superseded:
            self._progress.supersede()
            raise
