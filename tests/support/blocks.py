"""Content that tells what it is: each block names its key, version and place.

So a stale, mixed, shifted or empty block is told from the right one at once, by a reader that has
nothing to compare with. A block is 512 bytes, the least that a disk writes or loses, and says the
same sixteen times.
"""

import struct
from dataclasses import dataclass
from zlib import crc32

BLOCK = 512
_WORDS = struct.Struct("<8sQQQ")
_MAGIC = b"ossfsblk"
_REPEATS = BLOCK // _WORDS.size


class WrongBytes(AssertionError):
    """What was read is not what was written; the message says in which way."""


def content(key: str, version: int, offset: int, length: int) -> bytes:
    """What the object holds from ``offset`` on; both numbers in bytes, neither needs to fit."""
    first = offset // BLOCK
    last = -(-(offset + length) // BLOCK)
    name = crc32(key.encode())
    blocks = (_block(name, version, number * BLOCK) for number in range(first, last))
    return b"".join(blocks)[offset - first * BLOCK :][:length]


def _block(name: int, version: int, offset: int) -> bytes:
    return _WORDS.pack(_MAGIC, name, version, offset) * _REPEATS


@dataclass
class OpenFile:
    """What one open file has shown so far: it must all be of one version.

    ``version`` is that version, 0 before any byte was read.
    """

    key: str
    version: int = 0

    def check(self, offset: int, data: bytes, newest: int) -> None:
        """Compare what was read at ``offset``. ``newest`` is the latest version there can be.

        Raises `WrongBytes`.
        """
        if not self.version:
            version = _named_version(offset, data)
            self.version = version if version is not None and version <= newest else 0
            if version is None and self._fits_any(offset, data, newest):  # too short to tell
                return
        if data != content(self.key, self.version, offset, len(data)):
            raise WrongBytes(self._describe(offset, data))

    def _fits_any(self, offset: int, data: bytes, newest: int) -> bool:
        return any(
            data == content(self.key, version, offset, len(data))
            for version in range(1, newest + 1)
        )

    def _describe(self, offset: int, data: bytes) -> str:
        """How many blocks are wrong, and what the first of them is."""
        wrong = [
            at
            for at in range(offset - offset % BLOCK, offset + len(data), BLOCK)
            if _cut(data, offset, at) != _cut_of(self.key, self.version, data, offset, at)
        ]
        first = _cut(data, offset, wrong[0])
        return (
            f"{self.key} version {self.version}: {len(wrong)} of {len(data) // BLOCK + 1} blocks at"
            f" {offset} are wrong, the first at {wrong[0]} {describe(first, max(offset, wrong[0]))}"
        )


def _named_version(offset: int, data: bytes) -> int | None:
    at = -offset % _WORDS.size
    if len(data) < at + _WORDS.size:
        return None
    return int(_WORDS.unpack_from(data, at)[2])


def _cut(data: bytes, offset: int, at: int) -> bytes:
    return data[max(at - offset, 0) : at - offset + BLOCK]


def _cut_of(key: str, version: int, data: bytes, offset: int, at: int) -> bytes:
    begin, end = max(at, offset), min(at + BLOCK, offset + len(data))
    return content(key, version, begin, end - begin)


def describe(data: bytes, offset: int) -> str:
    """What the bytes found at ``offset`` are, in words."""
    if not any(data):
        return "is zeros"
    word = -offset % _WORDS.size
    if len(data) < word + _WORDS.size:
        return f"is {data[:16]!r}"
    magic, name, version, at = _WORDS.unpack_from(data, word)
    if magic != _MAGIC:
        return f"is no block: {data[:16].hex()}"
    return f"is block {at} of version {version} of the object {name:08x}"
