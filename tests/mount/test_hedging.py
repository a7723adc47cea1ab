"""One connection that is late, or falls silent, costs a reader a moment and not its patience."""

import os
import time
from collections.abc import Callable

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount

pytestmark = pytest.mark.fuse

MIB = 1 << 20
BYTES = 12 * MIB
EVERY = 20
"""Of the 48 requests that a file takes."""


@pytest.fixture
def experienced(emulator: EmulatorProcess, mounts: Callable[..., Mount]) -> Mount:
    """A mount that knows from many answers how prompt they are."""
    for name in ("first", "second"):
        (emulator.directory / name).write_bytes(os.urandom(BYTES))
    mount = mounts(options=["--request-size", "256KiB"]).start()
    (mount.point / "first").read_bytes()
    emulator.reset()
    return mount


@pytest.mark.parametrize(
    "fault",
    [
        {"late_every": EVERY, "late_ms": 19_000, "kinds": ["get"]},
        {"stall_every": EVERY, "stall_after_bytes": 100_000},
    ],
    ids=["late", "stalled"],
)
def test_a_second_attempt_takes_over(
    emulator: EmulatorProcess, experienced: Mount, fault: dict[str, object]
) -> None:
    before = experienced.statistics()["origin"]["hedged"]
    emulator.faults(**fault)
    began = time.monotonic()
    assert (experienced.point / "second").read_bytes() == (
        emulator.directory / "second"
    ).read_bytes()
    assert time.monotonic() - began < 18  # each of the two alone would have cost 19 or 20 seconds
    assert experienced.statistics()["origin"]["hedged"] > before
    # Two second attempts are enough; on a busy machine more answers seem late.
    assert emulator.statistics()["requests"]["get"] <= 1.25 * BYTES // (MIB // 4)


def test_a_stall_is_gone_on_with_from_the_byte_after_the_last(
    emulator: EmulatorProcess, experienced: Mount
) -> None:
    emulator.faults(stall_every=EVERY, stall_after_bytes=100_000)
    (experienced.point / "second").read_bytes()
    ranges = [record["range"] for record in emulator.requests("get")]
    begins = [int(each.removeprefix("bytes=").split("-")[0]) for each in ranges]
    assert sum(begin % (MIB // 4) == 100_000 for begin in begins) >= 2
