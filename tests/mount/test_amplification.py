"""What is fetched is paid for: a look at the beginning of a large object costs little of it."""

import os
import random
from collections.abc import Callable

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount

pytestmark = pytest.mark.fuse

KIB, MIB = 1 << 10, 1 << 20
SIZE = 100 * MIB


@pytest.fixture
def large(emulator: EmulatorProcess, mounts: Callable[..., Mount]) -> Mount:
    """A mount with one large object, of which nothing is cached."""
    (emulator.directory / "large").write_bytes(random.Random(3).randbytes(SIZE))
    mount = mounts().start()
    assert os.listdir(mount.point) == ["large"]
    emulator.reset()
    return mount


def asked_bytes(emulator: EmulatorProcess) -> int:
    """Bytes of the object that were asked for, each counted once."""
    asked: set[int] = set()
    for record in emulator.requests("get"):
        first, last = map(int, record["range"].removeprefix("bytes=").split("-"))
        asked.update(range(first // KIB, last // KIB + 1))
    return len(asked) * KIB


@pytest.mark.parametrize(
    ("read_bytes", "step", "most"),
    [
        (4 * KIB, 4 * KIB, 512 * KIB),
        (64 * KIB, 64 * KIB, 512 * KIB),
        (64 * KIB, 4 * KIB, 512 * KIB),
        (MIB, MIB, 2 * MIB),
        (MIB, 32 * KIB, 2 * MIB),
        (10_000_000, 128 * KIB, 20_000_000),
        (10_000_000, MIB, 20_000_000),
    ],
)
def test_a_first_read_fetches_little_more_than_it_reads(
    emulator: EmulatorProcess, large: Mount, read_bytes: int, step: int, most: int
) -> None:
    descriptor = os.open(large.point / "large", os.O_RDONLY)
    try:
        left = read_bytes
        while left:
            left -= len(os.read(descriptor, min(step, left)))
    finally:
        os.close(descriptor)
    assert read_bytes <= asked_bytes(emulator) <= most
