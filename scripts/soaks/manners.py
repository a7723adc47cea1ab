"""The ways in which programs read a file: each yields what it got, as (offset, bytes)."""

import errno
import mmap
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from support.blocks import WrongBytes

Waiting = Callable[[], AbstractContextManager[None]]
Pieces = Iterator[tuple[int, bytes]]
Manner = Callable[[Path, int, random.Random, Waiting], Pieces]

MIB = 1 << 20
_READS = 16
_MOST = 300_000


def whole(path: Path, size: int, chance: random.Random, waiting: Waiting) -> Pieces:
    """From end to end."""
    step = chance.choice((64 << 10, 128 << 10, MIB))
    with waiting():
        descriptor = os.open(path, os.O_RDONLY)
    try:
        offset = 0
        while True:
            with waiting():
                data = os.read(descriptor, step)
            if not data:
                break
            yield offset, data
            offset += len(data)
        _require(offset, size, path)
    finally:
        os.close(descriptor)


def somewhere(path: Path, size: int, chance: random.Random, waiting: Waiting) -> Pieces:
    """At random offsets."""
    with waiting():
        descriptor = os.open(path, os.O_RDONLY)
    try:
        for _ in range(_READS):
            offset, length = _span(size, chance)
            data = b""
            while len(data) < length:  # an error further on shows as a short read first
                with waiting():
                    more = os.pread(descriptor, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
            yield offset, data
            _require(len(data), length, path)
    finally:
        os.close(descriptor)


def mapped(path: Path, size: int, chance: random.Random, waiting: Waiting) -> Pieces:
    """Through memory; where a system call would fail this reader dies of SIGBUS."""
    with waiting():
        descriptor = os.open(path, os.O_RDONLY)
    try:
        with mmap.mmap(descriptor, size, prot=mmap.PROT_READ) as memory:
            for _ in range(_READS):
                offset, length = _span(size, chance)
                with waiting():
                    data = memory[offset : offset + length]
                yield offset, data
    finally:
        os.close(descriptor)


def tail(path: Path, size: int, chance: random.Random, waiting: Waiting) -> Pieces:
    """``tail -c``."""
    length = chance.randrange(1, min(size, 2 * MIB))
    data = _run(["tail", "-c", str(length), str(path)], waiting)
    yield size - length, data
    _require(len(data), length, path)


def copied(path: Path, size: int, chance: random.Random, waiting: Waiting) -> Pieces:
    """``cp`` to a file in memory."""
    descriptor = os.memfd_create("copy")
    try:
        target = f"/proc/{os.getpid()}/fd/{descriptor}"
        _run(["cp", str(path), target], waiting)
        offset = 0
        while data := os.pread(descriptor, MIB, offset):
            yield offset, data
            offset += len(data)
        _require(offset, size, path)
    finally:
        os.close(descriptor)


READING: tuple[Manner, ...] = (whole, somewhere, mapped, tail, copied)


def _span(size: int, chance: random.Random) -> tuple[int, int]:
    offset = chance.randrange(size)
    return offset, chance.randrange(1, min(_MOST, size - offset) + 1)


def _require(found: int, wanted: int, path: Path) -> None:
    if found != wanted:
        raise WrongBytes(f"{path} ended after {found} of {wanted} bytes")


def _run(command: list[str], waiting: Waiting) -> bytes:
    with waiting():
        result = subprocess.run(command, capture_output=True, check=False)
    if result.returncode:
        text = result.stderr.decode(errors="replace").strip()
        raise OSError(_number_in(text), text)
    return result.stdout


def _number_in(text: str) -> int:
    """The error that a program's message names; cp itself sees that a file is another one."""
    if text.endswith("as it was replaced while being copied"):
        return errno.ESTALE
    return next((n for n in errno.errorcode if text.endswith(os.strerror(n))), errno.EINVAL)
