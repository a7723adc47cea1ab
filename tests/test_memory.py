"""What a burst of work leaves behind is given back, and only once the burst is over."""

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from ossfs_resume import memory
from support.threads import answer_without_threads

MIB = 1 << 20


class Ring:
    """Refers to itself, so that only the collector ends it."""

    def __init__(self) -> None:
        self.ring = self


@pytest.fixture
def collector() -> Iterator[None]:
    """It does not come by itself."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize("is_busy", [True, False])
async def test_rings_end_while_there_is_work_and_after_it(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch, is_busy: bool
) -> None:
    answer_without_threads(monkeypatch)
    ring = weakref.ref(Ring())
    assert ring() is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(memory.give_back_memory, trio.current_time if is_busy else float)
        await trio.sleep(memory.LOOK_S * 1.5)
        nursery.cancel_scope.cancel()
    assert ring() is None


async def test_memory_is_trimmed_once_after_each_burst(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_without_threads(monkeypatch)
    trimmed_at: list[float] = []
    monkeypatch.setattr(memory, "trim", lambda: trimmed_at.append(trio.current_time()))
    began, look = trio.current_time(), memory.LOOK_S
    bursts = ((2, 6), (20, 25))

    def processor_s() -> float:
        at = (trio.current_time() - began) / look
        return look * sum(min(max(at - start, 0), end - start) for start, end in bursts)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(memory.give_back_memory, processor_s)
        await trio.sleep(look * 40.5)
        nursery.cancel_scope.cancel()
    assert [round((at - began) / look) for at in trimmed_at] == [1, 7, 26]


# Blocks of the C library, of which every 16th stays and keeps the end of the heap where it is.
FRAGMENTED = """
from pathlib import Path
from ossfs_resume import memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

blocks = [bytes(60_000) for _ in range(2000)]
full = resident()
kept = blocks[::16]
del blocks
before = resident()
memory.trim()
print(full, before, resident())
"""


def test_what_is_free_between_what_is_not_goes_back_to_the_system() -> None:
    command = [sys.executable, "-c", FRAGMENTED]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    full, before, after = map(int, result.stdout.split())
    assert before > full - 20 * MIB, "it went back by itself: this shows nothing"
    assert after < full - 80 * MIB
