"""The bucket's content: files of random bytes, so that no file system can store them smaller."""

import random
from dataclasses import dataclass
from pathlib import Path

KIB = 1 << 10
MIB = 1 << 20

_BLOCK = 16 * MIB


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything; ``quick`` is for a run of two minutes."""

    large_mib: int = 1024
    random_reads: int = 10_000
    small_files: int = 300
    tiny_files: int = 5000
    many_files: int = 20_000
    medium_files: int = 100
    names: int = 100_000

    @classmethod
    def quick(cls) -> "Sizes":
        return cls(256, 2000, 100, 500, 0, 10, 20_000)


def create(bucket: Path, sizes: Sizes) -> None:
    """Fill the directory ``bucket``: ``large``, and the folders small, tiny, many, medium
    and names (whose files hold nothing but zeros)."""
    source = random.Random(7)
    block = source.randbytes(_BLOCK)
    _write(bucket / "large", block, sizes.large_mib * MIB)
    _folder(bucket / "small", block, sizes.small_files, 20_000)
    _folder(bucket / "tiny", block, sizes.tiny_files, 4 * KIB)
    _folder(bucket / "many", block, sizes.many_files, 4 * KIB)
    _folder(bucket / "medium", block, sizes.medium_files, 16 * MIB)
    (bucket / "names").mkdir()
    for number in range(sizes.names):
        with (bucket / f"names/name-{number:07}.dat").open("wb") as file:
            file.truncate(number % 9973 + 1)


def _folder(folder: Path, block: bytes, count: int, size: int) -> None:
    folder.mkdir()
    for number in range(count):
        start = number * 4099 % (_BLOCK // 2)
        _write(folder / f"file-{number:06}", block[start:] + block[:start], size)


def _write(path: Path, block: bytes, size: int) -> None:
    """``size`` bytes; each repetition of the block begins with its number."""
    with path.open("wb") as file:
        for number, start in enumerate(range(0, size, len(block))):
            piece = block[: size - start]
            file.write((number.to_bytes(8, "big") + piece[8:])[: len(piece)])
