"""Objects that exist nowhere: any number of keys, and any size, without a disk to hold them.

The content of an invented object is its own offsets: the eight bytes at each multiple of eight are
that number, big-endian. So any reader can tell whether it got the right bytes. Nobody knows the
CRC-64 of 48.8 TB of these; it is left out, as OSS leaves it out of some old objects.
"""

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from sys import byteorder

from ossfs_resume.emulator.facts import Facts

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
