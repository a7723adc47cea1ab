"""A catalogue of a million objects, timed against what a mount may take.

Keys of 60 bytes, one part each, as a bucket of small files has them. Exit status 1 if a bound is
exceeded.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.eviction import Candidate, Need, victims
from ossfs_resume.cache.models import CacheSettings, EntryRecord, ObjectVersion
from ossfs_resume.cache.schema import connect
from ossfs_resume.cache.store import CacheStore

OPEN_S, LOOKUP_S, CHOICE_S, ROW_BYTES = 1.0, 0.001, 0.1, 500


def key(number: int) -> str:
    """A path as data sets have them, 60 bytes long."""
    return f"dataset/2026/shard-{number % 997:04d}/images/sample-{number:012d}.jpeg.bin"


def version(number: int) -> ObjectVersion:
    """An object of 20 KB with an ETag like OSS's."""
    return ObjectVersion(key(number), f"{number * 0x9E3779B97F4A7C15 % (1 << 128):032X}", 20_000)


def fill(path: Path, count: int) -> None:
    """Insert the rows in random order of last use, half of them read, as one transaction."""
    chance = random.Random(1)
    connection = connect(path)
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        "INSERT INTO entry (key, etag, size, part_size, file_suffix, part_crc, parts_present,"
        " bytes_present, verified, last_used, allocated, was_read)"
        " VALUES (?, ?, 20000, 262144, ?, ?, 1, 20000, 1, ?, 20480, ?)",
        (
            (one.key.encode(), one.etag.encode(), f"{chance.getrandbits(64):016x}",
             chance.getrandbits(62), 1_700_000_000_000 + chance.getrandbits(34), number % 2)
            for number in range(count)
            for one in [version(number)]
        ),
    )  # fmt: skip
    connection.execute("UPDATE total SET allocated = (SELECT sum(allocated) FROM entry)")
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()


def timed(action: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def choose(catalog: Catalog) -> list[Candidate]:
    """What one step of an eviction decides: 256 of a million."""
    page = catalog.evictable(None, 256)
    return victims(map(candidate, page), Need(sum(one.allocated for one in page), 0))


def candidate(record: EntryRecord) -> Candidate:
    """As the reclaimer sees a row."""
    return Candidate(record.row.row_id, record.rank, record.last_used, record.allocated)


def main() -> int:
    """Fill, time, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--directory", help="where to put it; default: a temporary directory")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as place:
        return measure(CacheSettings(Path(place), "bench"), arguments.rows)


def measure(settings: CacheSettings, rows: int) -> int:
    """Print a line for each figure; 1 if one is over its bound."""
    path = settings.directory / settings.identity / "catalog.sqlite3"
    CacheStore.open(settings).close()
    empty = path.stat().st_size
    print(f"{rows} rows written in {timed(lambda: fill(path, rows)):.1f} s")
    stores: list[CacheStore] = []
    opened_s = timed(lambda: stores.append(CacheStore.open(settings)))
    first_question_s = timed(stores[0].notes.recall_directories)
    stores[0].close()
    catalog = Catalog(path).open()
    chance = random.Random(2)
    wanted = [version(chance.randrange(rows)) for _ in range(1000)]
    lookup_s = timed(lambda: [catalog.find(one) for one in wanted]) / len(wanted)
    choice_s = max(timed(lambda: choose(catalog)) for _ in range(10))
    catalog.close()
    figures = [
        ("open, with what a mount asks first", opened_s + first_question_s, OPEN_S, "s"),
        ("lookup by key", lookup_s * 1000, LOOKUP_S * 1000, "ms"),
        ("choice of what to evict", choice_s * 1000, CHOICE_S * 1000, "ms"),
        ("a row on the disk", (path.stat().st_size - empty) / rows, ROW_BYTES, "bytes"),
    ]
    for name, value, bound, unit in figures:
        print(f"{name}: {value:.3g} {unit} (bound {bound:g})")
    return int(any(value > bound for _, value, bound, _ in figures))


if __name__ == "__main__":
    sys.exit(main())
