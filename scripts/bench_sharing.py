"""What it costs that two processes share a cache: the journal that several can use against the log
that one has alone, in one run, on this disk and on one whose flushes take longer.

Each figure is from a process of its own, which stores an object in parts: the seconds of a commit
(a MiB, not durable), of a sync (data and a durable commit), and of the whole object with both in
the background, as a mount does it: as fast as memory takes it, and arriving at a gigabit a second.
Exit status 1 if that takes over twice as long in company as alone.
"""

import argparse
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from soaks import slow_sync

from ossfs_resume.cache import CacheSettings, CacheStore, ObjectVersion
from ossfs_resume.cache.entry import Entry

MIB = 1 << 20
BATCH_PARTS, THREADS = 4, 8
COMMITS, SYNCS = 40, 10
BOUND = 2.0
NETWORK_BYTES_PER_S = 125e6
COMPANION = """
import sys
from pathlib import Path
from ossfs_resume.cache import CacheSettings, CacheStore
store = CacheStore.open(CacheSettings(Path(sys.argv[1]), "bucket"))
print(flush=True)
sys.stdin.read()
store.close()
"""
Figures = tuple[float, ...]
"""Seconds of a commit, of a sync, of the whole object from memory, and from a network."""


def write(entry: Entry, batch: int, chunks: list[bytes]) -> None:
    entry.write_parts(batch * BATCH_PARTS, [chunks] * BATCH_PARTS)


def one_by_one(directory: Path, chunks: list[bytes]) -> Iterator[float]:
    """Seconds of each of COMMITS commits, then of each of SYNCS syncs; nothing else runs."""
    calm = CacheSettings(directory, "bucket", commit_interval_s=3600, sync_interval_s=3600)
    store = CacheStore.open(calm)
    entry = store.acquire(ObjectVersion("single", "etag", (COMMITS + SYNCS) * MIB))
    for number in range(COMMITS + SYNCS):
        write(entry, number, chunks)
        began = time.perf_counter()
        if number < COMMITS:
            store.commit()
        else:
            store.sync()
        yield time.perf_counter() - began
    store.abandon()


def whole(directory: Path, chunks: list[bytes], size_mib: int, bytes_per_s: float) -> float:
    """Seconds for an object, from eight threads, to its last commit."""
    store = CacheStore.open(CacheSettings(directory, "bucket"))
    entry = store.acquire(ObjectVersion(f"at {bytes_per_s}", "etag", size_mib * MIB))
    began = time.perf_counter()

    def receive(batch: int) -> None:
        time.sleep(max(0.0, began + batch * MIB / bytes_per_s - time.perf_counter()))
        write(entry, batch, chunks)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(receive, range(size_mib)))
    store.commit()
    seconds = time.perf_counter() - began
    store.abandon()
    return seconds


def child(directory: Path, size_mib: int) -> None:
    """Print the figures."""
    chunks = [os.urandom(1 << 16) for _ in range(4)]
    single = list(one_by_one(directory, chunks))
    print(
        statistics.median(single[:COMMITS]),
        statistics.median(single[COMMITS:]),
        *(whole(directory, chunks, size_mib, rate) for rate in (math.inf, NETWORK_BYTES_PER_S)),
    )


@contextmanager
def company(directory: Path) -> Iterator[None]:
    """Another process that uses the cache, and does nothing with it."""
    command = [sys.executable, "-c", COMPANION, str(directory)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        other.stdout.readline()
        yield
        other.communicate()


def measured(place: Path, size_mib: int, slow: dict[str, str], *, shared: bool) -> Figures:
    cache = place / "cache"
    command = [sys.executable, __file__, "--child", str(cache), "--size", str(size_mib)]
    with company(cache) if shared else tempfile.TemporaryDirectory():
        run = subprocess.run(
            command, env=os.environ | slow, stdout=subprocess.PIPE, check=True, text=True
        )
    shutil.rmtree(cache)
    return tuple(map(float, run.stdout.split()))


def compare(place: Path, size_mib: int, rounds: int, delay_ms: int) -> float:
    """Print the medians; how much longer the whole takes in company."""
    slow = slow_sync.environment(place, delay_ms)
    runs: dict[bool, list[Figures]] = {False: [], True: []}
    for number in range(rounds):
        for shared in (False, True) if number % 2 else (True, False):
            runs[shared].append(measured(place, size_mib, slow, shared=shared))
    print(f"flushes {delay_ms} ms slower")
    for shared, figures in runs.items():
        columns = zip(*figures, strict=True)
        commit, sync, from_memory, from_network = (statistics.median(each) for each in columns)
        name = "in company" if shared else "alone"
        print(f"  {name:<11}{commit * 1e3:>9.2f} ms a commit{sync * 1e3:>9.2f} ms a sync", end="")
        print(f"{from_memory:>9.2f} s and {from_network:.2f} s for {size_mib} MiB", flush=True)
    return statistics.median(
        mine[3] / theirs[3] for mine, theirs in zip(runs[True], runs[False], strict=True)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512, help="of the object, in MiB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--delays", default="0,5,80", help="milliseconds, with commas")
    parser.add_argument("--directory", help="on the disk to measure; default the temporary one")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.size)
        return 0
    delays = [int(each) for each in options.delays.split(",")]
    with tempfile.TemporaryDirectory(prefix="ossfs-bench-", dir=options.directory) as name:
        ratios = [compare(Path(name), options.size, options.rounds, each) for each in delays]
    print("from a network, in company / alone: " + ", ".join(f"{each:.2f}" for each in ratios))
    return int(max(ratios) > BOUND)


if __name__ == "__main__":
    sys.exit(main())
