"""Killed at any moment, the next access fetches only what is missing."""

import contextlib
import os
import random
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount

pytestmark = pytest.mark.fuse

MIB = 1 << 20


def make_object(emulator: EmulatorProcess, size: int) -> bytes:
    data = random.Random(size).randbytes(size)
    (emulator.directory / "object").write_bytes(data)
    return data


def read_until(path: Path, count: int) -> int:
    """Read from the start until ``count`` bytes or an error; how many came."""
    done = 0
    with contextlib.suppress(OSError), path.open("rb", buffering=0) as file:
        while done < count and (data := file.read(MIB)):
            done += len(data)
    return done


def fetched(emulator: EmulatorProcess) -> int:
    return int(emulator.statistics()["bytes_by_key"]["object"])


@pytest.mark.timeout(300)
def test_a_copy_killed_half_way_refetches_at_most_64_mib(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    size = 192 * MIB
    data = make_object(emulator, size)
    emulator.faults(connection_bytes_per_s=20e6)
    mount = mounts().start()
    assert read_until(mount.point / "object", size // 2) >= size // 2
    mount.kill()
    mount.start()
    assert (mount.point / "object").read_bytes() == data
    assert size <= fetched(emulator) <= size + 64 * MIB
    assert mount.attribute("object", "state") == "verified"


@pytest.mark.timeout(300)
def test_twenty_kills_at_random_moments_never_claim_or_serve_a_wrong_byte(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("KILL_SEED", "1"))
    chance = random.Random(seed)
    size = 48 * MIB + 12345
    data = make_object(emulator, size)
    mount = mounts(options=["--part-size", "64KiB"])
    emulator.faults(total_bytes_per_s=24e6)
    for _ in range(20):
        mount.start()
        reader = threading.Thread(target=read_until, args=(mount.point / "object", size))
        reader.start()
        reader.join(chance.uniform(0, 0.3))
        mount.kill()
        reader.join()
        check_claims(mount.cache, data)
    emulator.faults()
    mount.start()
    assert (mount.point / "object").read_bytes() == data
    assert mount.attribute("object", "state") == "verified"
    with capsys.disabled():
        print(f"\n20 kills (seed {seed}): {fetched(emulator) - size} of {size} bytes fetched again")


def check_claims(cache: Path, data: bytes) -> None:
    """Every part that the catalogue claims has the object's bytes in the data file."""
    from ossfs_resume.cache.models import CacheSettings, ObjectVersion
    from ossfs_resume.cache.store import CacheStore

    [identity] = [path.name for path in cache.iterdir()]
    with contextlib.closing(sqlite3.connect(cache / identity / "catalog.sqlite3")) as catalog:
        rows = catalog.execute("SELECT key, etag, size FROM entry").fetchall()
    store = CacheStore.open(CacheSettings(cache, identity))
    try:
        for key, etag, size in rows:
            entry = store.acquire(ObjectVersion(bytes(key).decode(), bytes(etag).decode(), size))
            assert entry.check(0, entry.part_count) == []
            for part in range(entry.part_count):
                if not entry.missing(part, part + 1):
                    start, stop = entry.geometry.span(part)
                    assert entry.read(start, stop - start) == data[start:stop]
            store.release(entry)
    finally:
        store.close()


def test_a_part_that_the_disk_damaged_costs_that_part_and_no_wrong_byte(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    data = make_object(emulator, 8 * MIB)
    mount = mounts().start()
    assert (mount.point / "object").read_bytes() == data
    mount.stop()
    [file] = mount.cache.glob("*/data/*/*.0")
    with file.open("r+b") as damaged:
        damaged.seek(3 * MIB + 5)
        damaged.write(b"\0" * 100)
    mount.start()
    assert (mount.point / "object").read_bytes() == data
    assert fetched(emulator) == 8 * MIB + 256 * 1024
