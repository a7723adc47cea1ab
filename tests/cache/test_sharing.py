"""Two processes with one store."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore
from ossfs_resume.cache.workbench import opened
from ossfs_resume.errors import CacheError
from support.waiting import eventually

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


WITH_OTHERS = """
import sys, time
from pathlib import Path
from ossfs_resume.cache import CacheSettings, CacheStore, ObjectVersion
store = CacheStore.open(CacheSettings(Path(sys.argv[1]), "bucket", part_size=65536))
print(store._catalog.is_alone, flush=True)
number = 0
while True:
    entry = store.acquire(ObjectVersion(f"key {number % 50}", "etag", 4 * 65536))
    entry.write_parts(number % 4, [[(number % 4 + 1).to_bytes(4, "big") * 16384]])
    store.release(entry)
    store.commit()
    number += 1
    time.sleep(0.01)
"""


def maps() -> str:
    """What this process has mapped of any cache."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return "".join(line for line in lines if "catalog.sqlite3" in line)


def mode(settings: CacheSettings) -> bytes:
    """The header's word on the journal: 1 rolls back, 2 writes ahead. Read by another process:
    closing any descriptor of the file would drop the locks that this one has on it."""
    command = ["head", "-c", "20", settings.directory / "bucket/catalog.sqlite3"]
    return subprocess.run(command, capture_output=True, check=True).stdout[18:]


@contextmanager
def guest_of(settings: CacheSettings) -> Iterator["subprocess.Popen[str]"]:
    """Another process, killed at the end."""
    with other(settings) as guest:
        try:
            yield guest
        finally:
            guest.kill()


def other(settings: CacheSettings) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WITH_OTHERS, str(settings.directory)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone again at once, and without patience."""
    monkeypatch.setattr("ossfs_resume.cache.sharing.ALONE_S", 0.0)
    monkeypatch.setattr("ossfs_resume.cache.database.SHARING_PATIENCE_S", 0.3)
    monkeypatch.setattr("ossfs_resume.cache.threads.INTERVAL_S", 0.05)


@pytest.mark.usefixtures("quick")
def test_the_catalogue_is_given_to_who_comes_and_taken_again(
    store: CacheStore, settings: CacheSettings, parts: Parts
) -> None:
    entry = store.acquire(parts.version(4))
    parts.write(entry, 0, 2)
    store.commit()
    assert (store._catalog.is_alone, mode(settings), maps()) == (True, b"\2\2", "")
    with guest_of(settings) as guest:
        assert guest.stdout is not None
        assert guest.stdout.readline() == "False\n"
        assert (store._catalog.is_alone, mode(settings), maps()) == (False, b"\1\1", "")
        parts.write(entry, 2, 4)
        store.commit()
        assert store.cached_bytes([parts.version(4)]) == [4 * parts.SIZE]
    eventually(lambda: store._catalog.is_alone)
    assert (mode(settings), maps()) == (b"\2\2", "")
    assert store.cached_bytes([parts.version(4)]) == [4 * parts.SIZE]
    assert not (settings.directory / "bucket/catalog.sqlite3-shm").exists()
    store.release(entry)


@pytest.mark.usefixtures("quick")
def test_who_is_stopped_keeps_nobody_out_for_ever(
    settings: CacheSettings, parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    with guest_of(settings) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "True\n"
        owner.send_signal(signal.SIGSTOP)
        store = CacheStore.open(settings)
        assert "going on without the cache" in caplog.text
        with pytest.raises(CacheError, match="locked"):
            store.acquire(parts.version(4))
        with (
            pytest.raises(CacheError, match=rf"does not answer \(.*{owner.pid}"),
            opened(settings.directory, settings.identity),
        ):
            pass
        owner.send_signal(signal.SIGCONT)
        eventually(lambda: store._catalog.is_open)
        store.release(store.acquire(parts.version(4)))
    store.close()


@pytest.mark.usefixtures("quick")
def test_whoever_is_killed_in_a_handover_the_next_one_goes_on(
    settings: CacheSettings, parts: Parts
) -> None:
    chance = random.Random(4)
    with ExitStack() as stack:
        survivor = stack.enter_context(guest_of(settings))
        for _ in range(12):
            newcomer = stack.enter_context(guest_of(settings))
            if chance.random() < 0.5:  # else somewhere in the middle of its coming
                assert newcomer.stdout is not None
                newcomer.stdout.readline()
            both = [survivor, newcomer]
            victim = both.pop(chance.randrange(2))
            victim.kill()
            victim.wait()
            [survivor] = both
    store = CacheStore.open(settings)
    for number in range(50):
        entry = store.acquire(parts.version(4, key=f"key {number}"))
        assert entry.check(0, 4) == []
        store.release(entry)
    store.close()
    with closing(sqlite3.connect(settings.directory / "bucket/catalog.sqlite3")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert os.listdir(settings.directory / "bucket/owners") == []
