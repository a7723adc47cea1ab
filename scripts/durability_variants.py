"""Runs a part of the program with durability and checksums as they are, off, or on a slow disk.

Arguments: variant, then ``store DIRECTORY BYTES`` (stores that many bytes from eight threads and
prints seconds and CPU seconds) or the command line of ossfs-resume. For measurements only.
"""

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from ossfs_resume.cache import CacheSettings, CacheStore, ObjectVersion, catalog, committer, entry
from ossfs_resume.cache.data_file import DataFile
from ossfs_resume.cache.transaction import Transaction

VARIANTS = ("off", "on", "slow")
FLUSH_S = 0.005
BATCH_PARTS, THREADS = 4, 8


def switch_off() -> None:
    """No checksum, no commit, no sync, no proof."""
    entry.checksum = lambda chunks: 0  # type: ignore[assignment]
    entry.Entry.prove = lambda self, *_: None  # type: ignore[method-assign]
    committer.Committer.commit = lambda self: None  # type: ignore[method-assign]
    committer.Committer.sync = lambda self: None  # type: ignore[method-assign]
    committer.Committer.announce = lambda self, entry, count: None  # type: ignore[method-assign]


def slow_down() -> None:
    """Every flush takes five milliseconds more, the catalogue's in its write lock."""
    fast_sync, fast_transaction = DataFile.sync, catalog.Catalog.transaction

    def sync(self: DataFile) -> None:
        time.sleep(FLUSH_S)
        fast_sync(self)

    @contextmanager
    def transaction(self: catalog.Catalog, *, durable: bool = False) -> Iterator[Transaction]:
        with fast_transaction(self, durable=durable) as changes:
            yield changes
            time.sleep(FLUSH_S * durable)

    DataFile.sync = sync  # type: ignore[method-assign]
    catalog.Catalog.transaction = transaction  # type: ignore[method-assign]


def store(directory: Path, size: int) -> None:
    """Store an object of ``size`` bytes as the engine does; without the closing sync."""
    opened = CacheStore.open(CacheSettings(directory, "bucket"))
    held = opened.acquire(ObjectVersion("key", "etag", size))
    held.expect_crc64(0)
    chunks = [os.urandom(1 << 16) for _ in range(4)]
    batches = range(0, held.part_count, BATCH_PARTS)
    started, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(THREADS) as threads:
        for done in [threads.submit(held.write_parts, b, [chunks] * BATCH_PARTS) for b in batches]:
            done.result()
    held.prove()
    print(time.perf_counter() - started, time.process_time() - cpu)
    opened.abandon()


def main() -> None:
    variant, *rest = sys.argv[1:]
    {"off": switch_off, "on": lambda: None, "slow": slow_down}[variant]()
    if rest[0] == "store":
        store(Path(rest[1]), int(rest[2]))
    else:
        from ossfs_resume.cli import main as command

        sys.argv = ["ossfs-resume", *rest]
        command()


if __name__ == "__main__":
    main()
