"""Two processes that store the same object in one directory, killed again and again."""

import os
import random
import runpy
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore

WRITER = Path(__file__).parent.parent / "cache" / "writer_process.py"
KILLS = int(os.environ.get("TWO_KILLS", "8"))
MIB = 1 << 20
COMMIT_MIB = 64
"""More than this is committed, so a writer that has stored more leaves something behind."""


class Writer:
    """A process that says after each MiB that it is stored."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(WRITER), str(directory), str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def wait_for(self, count: int) -> None:
        assert self.process.stdout is not None
        for _ in range(count):
            assert self.process.stdout.readline()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.mark.timeout(3600)
def test_two_writers_killed_at_random_claim_only_what_is_there(tmp_path: Path) -> None:
    chance = random.Random(7)
    with ExitStack() as stack:

        def start(seed: int) -> Writer:
            writer = Writer(tmp_path, seed)
            stack.callback(writer.kill)
            return writer

        writers = [start(0), start(1)]
        for number in range(KILLS):
            victim = chance.randrange(2)
            writers[victim].wait_for(chance.randrange(1, 100))
            writers[victim].kill()
            writers[victim] = start(number + 2)
        writers[0].wait_for(2 * COMMIT_MIB)
        for writer in writers:
            writer.kill()
    assert claimed(tmp_path) >= COMMIT_MIB * MIB


def claimed(directory: Path) -> int:
    """How many bytes the catalogue claims; all of them are right."""
    names = runpy.run_path(str(WRITER))
    store = CacheStore.open(CacheSettings(directory, "bucket", part_size=names["PART"]))
    entry = store.acquire(names["VERSION"])
    assert entry.check(0, entry.part_count) == []
    for part in range(entry.part_count):
        if not entry.missing(part, part + 1):
            start, stop = entry.geometry.span(part)
            assert entry.read(start, stop - start) == names["content"](part)[: stop - start]
    summary = entry.summary
    store.abandon()
    stored = CacheStore.open(CacheSettings(directory, "bucket", part_size=names["PART"]))
    assert stored.state(names["VERSION"]) == summary  # counters agree with bitmaps
    stored.abandon()
    return entry.progress.present_bytes
