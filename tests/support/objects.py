"""A bucket of awkward names and sizes, and trees compared byte by byte."""

import hashlib
import os
import random
from pathlib import Path

ODD_NAMES = (
    "plain.txt",
    "with space",
    "文件 中文.txt",
    "#hash",
    "question?mark",
    "percent%41+plus&and",
    "new\nline",
    "tab\tand\x01control",
    "quote'\"`$(x)",
    "-dash",
    "trailing ",
    "~tilde",
    "x" * 255,
    "é" * 127,
    "back\\slash",
    "*?[a]",
)
SIZES = (0, 1, 511, 4096, 65535, 65536, 65537, 262144, 262145, 1 << 20, 3_000_001)


def fill(directory: Path) -> None:
    """Files of many sizes under odd names, in nested directories; reproducible."""
    chance = random.Random(7)
    for index, name in enumerate(ODD_NAMES):
        write(directory / name, chance.randbytes(SIZES[index % len(SIZES)]))
        write(directory / "deep" / name / name, chance.randbytes(100 + index))
    for size in SIZES:
        write(directory / "sizes" / str(size), chance.randbytes(size))
    write(directory / "sizes" / "text", b"needle in a haystack\n" * 5000)


def write(path: Path, data: bytes) -> None:
    """Create a file and the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def bytes_now(path: Path) -> bytes | None:
    """The content, or None if it cannot be read at this moment."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def digest(directory: Path) -> dict[bytes, str]:
    """Relative path to hash for files, to ``directory`` for directories."""
    root, found = os.fsencode(directory), {}
    for folder, folders, files in os.walk(root):
        for name in folders:
            found[os.path.relpath(os.path.join(folder, name), root)] = "directory"
        for name in files:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            found[os.path.relpath(path, root)] = content
    return found
