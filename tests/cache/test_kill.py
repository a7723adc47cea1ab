"""kill -9 of a process that is storing an object."""

import random
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore

WRITER = Path(__file__).with_name("writer_process.py")
MAX_LOSS_BYTES = 64 << 20
MAX_LOSS_S = 1.0


@pytest.mark.parametrize("seed", range(3))
def test_killing_a_writer_costs_at_most_64_mib_and_no_part_is_wrong(
    tmp_path: Path, seed: int
) -> None:
    names = runpy.run_path(str(WRITER))
    version, part_size, batch_size = names["VERSION"], names["PART"], names["BATCH"]
    kill_after = random.Random(seed).randrange(1, names["BATCHES"])
    written: set[int] = set()
    with subprocess.Popen(
        [sys.executable, str(WRITER), str(tmp_path), str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            written.add(int(line))
            if len(written) == kill_after:
                process.kill()
    assert len(written) >= kill_after

    store = CacheStore.open(CacheSettings(tmp_path, "bucket", part_size=part_size))
    entry = store.acquire(version)
    missing = {part for run in entry.missing(0, entry.part_count) for part in run}
    lost = written & {part // batch_size for part in missing}
    assert len(lost) * batch_size * part_size <= MAX_LOSS_BYTES

    assert entry.check(0, entry.part_count) == []
    for part in set(range(entry.part_count)) - missing:
        start, stop = entry.geometry.span(part)
        assert entry.read(start, stop - start) == names["content"](part)[: stop - start]
    store.close()


def test_what_is_written_is_committed_well_within_the_last_second(tmp_path: Path) -> None:
    """That commits come by themselves after this time is tested with the store."""
    assert CacheSettings(tmp_path, "bucket").commit_interval_s <= MAX_LOSS_S / 4
