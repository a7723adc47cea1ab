"""Reading from mounts that are killed, and what their caches claim afterwards."""

import contextlib
import random
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from ossfs_resume.cache import CacheSettings, CacheStore, ObjectVersion
from support.emulator import EmulatorProcess

MIB = 1 << 20
MAX_REFETCH = 64 * MIB
"""What one kill -9 may cost."""


def make_object(emulator: EmulatorProcess, size: int, name: str = "object") -> bytes:
    """Put ``size`` random bytes into the bucket, the same for the same size and name."""
    chance = random.Random(f"{size} {name}")
    data = b"".join(chance.randbytes(min(MIB, size - at)) for at in range(0, size, MIB))
    (emulator.directory / name).write_bytes(data)
    return data


def read_until(path: Path, count: int) -> int:
    """Read from the start until ``count`` bytes or an error; how many came."""
    done = 0
    with contextlib.suppress(OSError), path.open("rb", buffering=0) as file:
        while done < count and (data := file.read(MIB)):
            done += len(data)
    return done


def fetched(emulator: EmulatorProcess, name: str = "object") -> int:
    """Bytes of an object that the endpoint has sent so far."""
    return int(emulator.statistics()["bytes_by_key"].get(name, 0))


def check_claims(cache: Path, contents: Mapping[str, bytes]) -> int:
    """Every part that the catalogue claims has the object's bytes; how many bytes it claims."""
    identities = [path.name for path in cache.iterdir()] if cache.exists() else []
    return sum(_check_store(cache, identity, contents) for identity in identities)


def _check_store(cache: Path, identity: str, contents: Mapping[str, bytes]) -> int:
    store = CacheStore.open(CacheSettings(cache, identity))
    try:
        catalog = cache / identity / "catalog.sqlite3"
        with contextlib.closing(sqlite3.connect(catalog)) as connection:
            rows = connection.execute("SELECT key, etag, size FROM entry").fetchall()
        versions = [ObjectVersion(key.decode(), etag.decode(), size) for key, etag, size in rows]
        return sum(_check_entry(store, version, contents[version.key]) for version in versions)
    finally:
        store.abandon()


def _check_entry(store: CacheStore, version: ObjectVersion, data: bytes) -> int:
    entry = store.acquire(version)
    assert entry.check(0, entry.part_count) == [], "a claimed part is not what its CRC says"
    for part in range(entry.part_count):
        if not entry.missing(part, part + 1):
            start, stop = entry.geometry.span(part)
            assert entry.read(start, stop - start) == data[start:stop], f"part {part} is wrong"
    present = entry.progress.present_bytes
    store.release(entry)
    return present
