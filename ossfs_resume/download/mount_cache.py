"""What the cache of a mount has of an object is copied, and not fetched.

It is a help and no more: whatever is wrong with the cache, the rest comes from the bucket. Each
part is compared with its checksum when it is read there, and all of the object with the bucket's in
the end.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import trio

from ossfs_resume.cache.borrowing import Lender, lender
from ossfs_resume.cache.crc64 import checksum
from ossfs_resume.cache.entry import Entry
from ossfs_resume.errors import CacheError
from ossfs_resume.fetch.open_downloads import version_of
from ossfs_resume.oss.models import ObjectMeta

log = logging.getLogger(__name__)

_PIECE_BYTES = 4 << 20


class MountCache:
    """The store ``identity`` of a cache directory. Methods block, and raise nothing."""

    def __init__(self, directory: Path | None = None, identity: str = "") -> None:
        """Without a directory it has nothing."""
        self._directory, self._identity = directory, identity
        self._stack = ExitStack()
        self._lender: Lender | None = None

    def __repr__(self) -> str:
        return f"<MountCache {self._directory} {self._identity}>"

    @property
    def is_open(self) -> bool:
        """Whether anything may be here."""
        return self._lender is not None

    def open(self) -> str:
        """Open it until `close`; why that cannot be, empty if it is open or does not exist."""
        try:
            if self._directory is not None:
                self._lender = self._stack.enter_context(lender(self._directory, self._identity))
        except CacheError as error:
            return str(error)
        return ""

    def close(self) -> None:
        """Let go of it."""
        self._lender = None
        self._stack.close()

    def whole(self, meta: ObjectMeta) -> bytes | None:
        """All of a small object, if it is here and was proven."""
        if self._lender is None or not meta.size:
            return None
        try:
            with self._lender.lent(version_of(meta)) as entry:
                if entry is None or not entry.progress.is_complete:
                    return None
                data = entry.read(0, meta.size)
                is_proven = entry.progress.is_verified or checksum([data]) == meta.crc64
                return data if is_proven else None
        except CacheError as error:
            log.debug("%s: %s", meta.key, error)
            return None

    def copy(self, meta: ObjectMeta, into: Entry) -> int:
        """Write what is here into an entry that lacks it; how many bytes that were.

        To be called from a thread of trio's: it ends when its caller is cancelled.
        """
        copied = 0
        if self._lender is None:
            return 0
        try:
            with self._lender.lent(version_of(meta)) as entry:
                for parts in _pieces(into) if entry is not None else ():
                    trio.from_thread.check_cancelled()
                    copied += _copy(entry, into, parts) if entry is not None else 0
        except CacheError as error:
            log.debug("%s: %s", meta.key, error)
        return copied


def _pieces(entry: Entry) -> Iterator[range]:
    """What is missing of it, a few mebibytes at a time."""
    step = max(_PIECE_BYTES // entry.geometry.part_size, 1)
    for run in entry.missing(0, entry.part_count):
        for first in range(run.start, run.stop, step):
            yield range(first, min(first + step, run.stop))


def _copy(source: Entry, into: Entry, parts: range) -> int:
    """Copy what ``source`` has of these parts; how many bytes that were."""
    copied = 0
    for part in parts:
        start, stop = into.geometry.span(part)
        touched = source.geometry.parts(start, stop - start)
        if source.missing(touched.start, touched.stop):
            continue
        try:
            data = source.read(start, stop - start)
        except CacheError as error:  # bad, or gone: it will be fetched
            log.debug("%r: part %d: %s", source, part, error)
            continue
        into.write_parts(part, [[data]])
        copied += len(data)
    return copied
