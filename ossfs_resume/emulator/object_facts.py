"""What is known of an object besides its bytes: ETag and CRC-64, class, encoding, kind, version;
and objects that exist nowhere.

A version is known by size, modification and change time and inode. The kernel's clock for these
times ticks every few milliseconds, so a file that changed just before it was read could change
again unseen: what is computed of such a *fresh* file is returned but not remembered, until the
change time lies `_SETTLE_NS` in the past.

Properties are told by PUT headers and kept in memory: a file that was put into the directory by
hand is an ordinary object.

The content of an invented object is its own offsets: the eight bytes at each multiple of eight are
that number, big-endian. So any reader can tell whether it got the right bytes. Nobody knows the
CRC-64 of 48.8 TB of these; it is left out, as OSS leaves it out of some old objects.
"""

import base64
import hashlib
import os
import threading
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from sys import byteorder

from fastcrc import crc64

from ossfs_resume.emulator.refusal import Refusal

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


STORAGE_CLASS = "Standard"
_KEPT = (
    "content-encoding",
    "content-type",
    "x-oss-storage-class",
    "x-oss-restore",
    "x-oss-server-side-encryption",
    "x-oss-server-side-encryption-key-id",
)
_ARCHIVES = frozenset(("archive", "coldarchive", "deepcoldarchive"))
FORBIDDEN_KEY = "forbidden"
"""The id of a KMS key that nobody may use."""


@dataclass(frozen=True, slots=True)
class Properties:
    """``headers`` by lower-case name; ``object_type`` if it does not follow from the content."""

    headers: Mapping[str, str] = field(default_factory=dict)
    object_type: str = ""
    version_id: str = ""

    @classmethod
    def of(cls, headers: Mapping[str, str], object_type: str = "") -> "Properties":
        """What the headers of a PUT say."""
        kept = {name: headers[name] for name in _KEPT if name in headers}
        return cls(kept, object_type)

    @property
    def storage_class(self) -> str:
        """Standard unless told otherwise."""
        return self.headers.get("x-oss-storage-class", STORAGE_CLASS)

    def shown(self, facts: Facts) -> Facts:
        """The facts with the object's type."""
        return replace(facts, object_type=self.object_type) if self.object_type else facts

    def restored(self) -> "Properties":
        """As after the end of a restore."""
        expiry = 'ongoing-request="false", expiry-date="Thu, 24 Sep 2099 12:40:33 GMT"'
        return replace(self, headers={**self.headers, "x-oss-restore": expiry})

    def refuse_content(self) -> None:
        """Raise the refusal of a GET if the content may not be read."""
        is_archived = self.storage_class.lower() in _ARCHIVES
        if is_archived and 'ongoing-request="false"' not in self.headers.get("x-oss-restore", ""):
            message = "The operation is not valid for the object's state"
            raise Refusal(403, "InvalidObjectState", message, "0016-00000404")
        if self.headers.get("x-oss-server-side-encryption-key-id") == FORBIDDEN_KEY:
            raise Refusal(403, "AccessDenied", "This request is forbidden by kms", "0003-00000801")


ORDINARY = Properties()


FOLDER = b"invented/"
_KEY_BYTES = 100
"""Size of each of many invented objects."""

MODIFIED = 1_600_000_000


def content(offset: int, length: int) -> bytes:
    """``length`` bytes at ``offset`` of any invented object."""
    first, stop = offset // 8, -(-(offset + length) // 8)
    words = array("Q", range(first * 8, stop * 8, 8))
    if byteorder == "little":
        words.byteswap()
    skipped = offset - first * 8
    return words.tobytes()[skipped : skipped + length]


@dataclass(frozen=True, slots=True)
class InventedObject:
    """One invented object, as if it were open."""

    key: bytes
    size: int
    modified: int = MODIFIED

    @property
    def facts(self) -> Facts:
        """What is known of it without reading it."""
        digest = hashlib.md5(b"%d %b" % (self.size, self.key), usedforsecurity=False)
        return Facts(f"{digest.hexdigest().upper()}-1", None, "Multipart", "")

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes at ``offset``, clipped at the end."""
        return content(offset, min(length, self.size - offset))

    def close(self) -> None:
        """Nothing is open."""


class Inventions:
    """``count`` small objects ``invented/0000000`` and so on, and large ones by key and size."""

    def __init__(self, count: int = 0, sizes: dict[bytes, int] | None = None) -> None:
        self._sizes = dict(sizes or {})
        self._small = frozenset(FOLDER + b"%07d" % number for number in range(count))
        self.keys: Sequence[bytes] = sorted(self._small | self._sizes.keys())

    def open(self, key: bytes) -> InventedObject | None:
        """The invented object of this key."""
        size = self._sizes.get(key, _KEY_BYTES if key in self._small else None)
        return None if size is None else InventedObject(key, size)
