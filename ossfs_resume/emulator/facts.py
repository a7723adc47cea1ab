"""ETag and CRC-64 of files, computed once per file version.

A version is known by size, modification and change time and inode. The kernel's clock for these
times ticks every few milliseconds, so a file that changed just before it was read could change
again unseen: what is computed of such a *fresh* file is returned but not remembered, until the
change time lies `_SETTLE_NS` in the past.
"""

import base64
import hashlib
import os
import threading
import time
from dataclasses import dataclass

from fastcrc import crc64

MD5_MAX_BYTES = 64 * 1024 * 1024
"""Objects up to this size have their MD5 as ETag, as if sent by one PutObject. Larger ones look
like multipart uploads, whose ETag is opaque: it is made from the CRC, which is read ten times as
fast."""

_BLOCK_BYTES = 4 * 1024 * 1024
_PART_BYTES = 16 * 1024 * 1024
_SETTLE_NS = 100_000_000

_Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the content of one object version says."""

    etag: str
    crc64: int | None
    object_type: str
    content_md5: str
    """Base64; empty for objects of type Multipart, as with OSS."""


class Digest:
    """Facts of content that arrives piece by piece."""

    def __init__(self, size: int) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False) if size <= MD5_MAX_BYTES else None
        self._crc = 0
        self._size = 0

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        self._size += len(data)
        self._crc = crc64.xz(data, self._crc)
        if self._md5:
            self._md5.update(data)

    def facts(self) -> Facts:
        """Return what is known after the last byte."""
        if self._md5:
            md5 = self._md5.digest()
            return Facts(md5.hex().upper(), self._crc, "Normal", base64.b64encode(md5).decode())
        parts = -(-self._size // _PART_BYTES)
        return Facts(f"{self._crc:016X}{self._size:016X}-{parts}", self._crc, "Multipart", "")


class FactsCache:
    """Facts by path; thread-safe. One computation runs at a time, others wait for it."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[_Stamp, Facts]] = {}
        self._computing = threading.Lock()
        self._is_closed = False

    def known(self, path: bytes, stat: os.stat_result) -> Facts | None:
        """Return the facts of this file version if remembered; never waits."""
        entry = self._known.get(path)
        return entry[1] if entry and entry[0] == _stamp(stat) else None

    def compute(self, path: bytes, descriptor: int) -> Facts:
        """Read the open file and return its facts; blocks. InterruptedError after `close`."""
        with self._computing:
            stat = os.fstat(descriptor)
            if facts := self.known(path, stat):
                return facts
            is_fresh = time.time_ns() - stat.st_ctime_ns < _SETTLE_NS
            facts = self._read(descriptor, stat.st_size)
            if not is_fresh:
                self._known[path] = _stamp(stat), facts
            return facts

    def close(self) -> None:
        """Break off a running computation."""
        self._is_closed = True

    def _read(self, descriptor: int, size: int) -> Facts:
        digest = Digest(size)
        offset = 0
        while block := os.pread(descriptor, _BLOCK_BYTES, offset):
            if self._is_closed:
                raise InterruptedError
            digest.update(block)
            offset += len(block)
        return digest.facts()


def _stamp(stat: os.stat_result) -> _Stamp:
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino
