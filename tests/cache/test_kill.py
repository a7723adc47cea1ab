"""kill -9 of a process that is storing an object."""

import random
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore

WRITER = Path(__file__).with_name("writer_process.py")
MAX_LOSS_BYTES = 64 << 20
MAX_LOSS_S = 1.0


@pytest.mark.parametrize("seed", range(3))
def test_killing_a_writer_costs_at_most_the_last_second_and_no_part_is_wrong(
    tmp_path: Path, seed: int
) -> None:
    names = runpy.run_path(str(WRITER))
    version, part_size, batch_size = names["VERSION"], names["PART"], names["BATCH"]
    kill_after = random.Random(seed).randrange(1, names["BATCHES"])
    written: dict[int, float] = {}
    with subprocess.Popen(
        [sys.executable, str(WRITER), str(tmp_path), str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            written[int(line)] = time.monotonic()
            if len(written) == kill_after:
                process.kill()
                killed = time.monotonic()
    assert len(written) >= kill_after

    store = CacheStore.open(CacheSettings(tmp_path, "bucket", part_size=part_size))
    entry = store.acquire(version)
    missing = {part for run in entry.missing(0, entry.part_count) for part in run}
    lost = {part // batch_size: time_ for part, time_ in lost_parts(missing, written, batch_size)}
    assert len(lost) * batch_size * part_size <= MAX_LOSS_BYTES
    assert all(killed - written_at <= MAX_LOSS_S for written_at in lost.values())

    assert entry.check(0, entry.part_count) == []
    for part in set(range(entry.part_count)) - missing:
        start, stop = entry.geometry.span(part)
        assert entry.read(start, stop - start) == names["content"](part)[: stop - start]
    store.close()


def lost_parts(
    missing: set[int], written: dict[int, float], batch_size: int
) -> list[tuple[int, float]]:
    """Missing parts that had been written, and when that was reported."""
    return [
        (part, written[part // batch_size]) for part in missing if part // batch_size in written
    ]
