"""A process that stores an object in random order and says so after each batch, until it is killed.

Arguments: cache directory, seed. Not a test; ``test_kill.py`` runs it.
"""

import os
import random
import struct
import sys
from pathlib import Path

from ossfs_resume.cache import CacheSettings, CacheStore, ObjectVersion

PART = 256 * 1024
BATCH = 4
BATCHES = 512
VERSION = ObjectVersion("killed", "etag", BATCHES * BATCH * PART - 17)


def content(part: int) -> bytes:
    """What belongs into a part, as if it were not the shorter last one."""
    return struct.pack("<Q", part * 0x9E3779B97F4A7C15 % (1 << 64)) * (PART // 8)


def main() -> None:
    directory, seed = Path(sys.argv[1]), int(sys.argv[2])
    store = CacheStore.open(CacheSettings(directory, "bucket", part_size=PART))
    entry = store.acquire(VERSION)
    batches = list(range(BATCHES))
    random.Random(seed).shuffle(batches)
    for batch in batches:
        first = batch * BATCH
        lengths = [entry.geometry.span(part) for part in range(first, first + BATCH)]
        entry.write_parts(
            first,
            [[content(part)[: b - a]] for part, (a, b) in enumerate(lengths, first)],
        )
        os.write(1, f"{batch}\n".encode())
    sys.stdin.read()


if __name__ == "__main__":
    main()
