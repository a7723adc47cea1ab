"""Two processes with one store."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore
from ossfs_resume.errors import CacheError

Parts = Any  # of conftest.py
Elsewhere = Callable[[str], None]

PREAMBLE = """
import sys
from pathlib import Path
from ossfs_resume.cache import CacheSettings, CacheStore, ObjectVersion
store = CacheStore.open(CacheSettings(Path(sys.argv[1]), "bucket", part_size=65536))
entry = store.acquire(ObjectVersion("key", "etag", 4 * 65536))
def part(number):
    return [(number + 1).to_bytes(4, "big") * 16384]
"""


@pytest.fixture
def elsewhere(settings: CacheSettings) -> Elsewhere:
    """Runs a script in another process that has the same entry open, and closes it."""

    def run(script: str) -> None:
        code = f"{PREAMBLE}{script}\nstore.close()\n"
        subprocess.run([sys.executable, "-c", code, str(settings.directory)], check=True)

    return run


def test_parts_of_both_are_kept_in_one_file(
    settings: CacheSettings, parts: Parts, elsewhere: Elsewhere
) -> None:
    store = CacheStore.open(settings)
    entry = store.acquire(parts.version(4))
    parts.write(entry, 0, 2)
    elsewhere("entry.write_parts(1, [part(1), part(2), part(3)])")
    store.close()
    parts.data_file(settings.directory)
    store = CacheStore.open(settings)
    entry = store.acquire(parts.version(4))
    assert entry.progress.is_complete
    assert entry.check(0, 4) == []
    assert entry.read(0, 4 * parts.SIZE) == parts.whole(entry.geometry)
    store.close()


def test_a_discard_elsewhere_leaves_the_descriptor_and_refuses_the_commit(
    store: CacheStore, settings: CacheSettings, parts: Parts, elsewhere: Elsewhere
) -> None:
    entry = store.acquire(parts.version(4))
    parts.write(entry, 0, 2)
    store.commit()
    elsewhere("store.discard(entry)")
    with pytest.raises(CacheError, match="removed"):
        parts.write(entry, 2, 3)
    store.commit()
    assert entry.check(0, 4) == []
    assert entry.read(0, 2 * parts.SIZE) == parts.whole(entry.geometry)[: 2 * parts.SIZE]
    with pytest.raises(CacheError, match="superseded"):
        parts.write(entry, 3, 4)
    assert not list(store.keeper.records())
    new = store.acquire(parts.version(4))
    assert (new is entry, new.stock, new.progress.present_count) == (False, None, 0)
    store.release(new)
    store.release(entry)
    store.commit()
    assert not list(settings.directory.glob("bucket/data/*/*"))


def test_what_was_evicted_and_stored_anew_elsewhere_is_another_stock(
    store: CacheStore, parts: Parts, elsewhere: Elsewhere
) -> None:
    entry = store.acquire(parts.version(4))
    parts.write(entry, 0, 2)
    store.commit()
    store.sync()
    old = entry.stock
    elsewhere("store.discard(entry)")
    elsewhere("entry.write_parts(3, [part(3)])")
    entry.refresh(range(4))
    assert not entry.progress.is_open
    assert entry.missing(0, 4) == [range(2, 4)]
    new = store.acquire(parts.version(4))
    assert new.stock not in (None, old)
    assert new.missing(0, 4) == [range(3)]
    assert new.check(0, 4) == []
    store.release(new)
    store.release(entry)


def test_a_discard_never_removes_what_another_process_stored_since(
    store: CacheStore, settings: CacheSettings, parts: Parts, elsewhere: Elsewhere
) -> None:
    entry = store.acquire(parts.version(4))
    elsewhere("store.discard(entry)")
    elsewhere("entry.write_parts(0, [part(0)])")
    store.discard(entry)
    assert parts.data_file(settings.directory).exists()
    assert store.acquire(parts.version(4)).check(0, 4) == []
    assert store.cached_bytes([parts.version(4)]) == [parts.SIZE]


def test_a_starting_process_removes_no_file_of_a_living_one(
    store: CacheStore, parts: Parts, elsewhere: Elsewhere
) -> None:
    entry = store.acquire(parts.version(4))
    parts.write(entry, 0, 1)
    elsewhere("store._leftovers.wait()")
    store.commit()
    elsewhere("assert entry.check(0, 4) == [] and entry.missing(0, 4) == [range(1, 4)]")


def test_two_processes_that_write_at_once_lose_nothing(
    settings: CacheSettings, parts: Parts
) -> None:
    script = PREAMBLE + (
        "for n in range(200):\n"
        "    entry = store.acquire(ObjectVersion(f'key {n}', 'etag', 4 * 65536))\n"
        "    number = 2 * int(sys.argv[2])\n"
        "    entry.write_parts(number, [part(number), part(number + 1)])\n"
        "    store.commit()\n"
        "store.close()\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(settings.directory), str(which)])
        for which in range(2)
    ]
    assert [process.wait() for process in processes] == [0, 0]
    store = CacheStore.open(settings)
    versions = [parts.version(4, key=f"key {n}") for n in range(200)]
    assert store.cached_bytes(versions) == [4 * parts.SIZE] * 200
    for version in versions[::50]:
        assert store.acquire(version).check(0, 4) == []
    store.close()
