"""The checker finds each kind of untruth, repairs it, and says nothing about a healthy cache."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore, workbench
from ossfs_resume.cache.check import Report, check
from ossfs_resume.cache.data_file import DataFile

Parts = Any  # of conftest.py


@pytest.fixture
def filled(settings: CacheSettings, parts: Parts) -> CacheSettings:
    """A closed store with the parts 1, 2 and 4 of an object of five."""
    store = CacheStore.open(settings)
    entry = store.acquire(parts.version(5))
    parts.write(entry, 1, 3)
    parts.write(entry, 4, 5)
    store.release(entry)
    store.close()
    return settings


def look(settings: CacheSettings, *, repair: bool = False) -> Report:
    with workbench.opened(settings.directory, settings.identity) as bench:
        return check(bench, repair=repair)


def execute(settings: CacheSettings, statement: str) -> None:
    path = settings.directory / settings.identity / "catalog.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def test_a_healthy_cache_has_no_problems(filled: CacheSettings, parts: Parts) -> None:
    report = look(filled)
    assert report.problems == []
    assert (report.entries, report.parts, report.bytes) == (1, 3, 3 * parts.SIZE)


def harm_bytes(settings: CacheSettings, parts: Parts) -> None:
    parts.damage(parts.data_file(settings.directory), parts.SIZE + 9)


def harm_hole(settings: CacheSettings, parts: Parts) -> None:
    from ossfs_resume.cache.holes import punch

    descriptor = os.open(parts.data_file(settings.directory), os.O_RDWR)
    punch(descriptor, 2 * parts.SIZE, parts.SIZE)
    os.close(descriptor)


def harm_size(settings: CacheSettings, parts: Parts) -> None:
    os.truncate(parts.data_file(settings.directory), 4 * parts.SIZE)


def harm_file(settings: CacheSettings, parts: Parts) -> None:
    parts.data_file(settings.directory).unlink()


def harm_counter(settings: CacheSettings, parts: Parts) -> None:
    execute(settings, "UPDATE entry SET parts_present = 5, bytes_present = size")


def harm_stray(settings: CacheSettings, parts: Parts) -> None:
    with parts.data_file(settings.directory).open("r+b") as file:
        file.write(b"nobody knows of this" * 1000)


def harm_space(settings: CacheSettings, parts: Parts) -> None:
    execute(settings, "UPDATE entry SET allocated = 12345")


def harm_total(settings: CacheSettings, parts: Parts) -> None:
    execute(settings, "UPDATE total SET allocated = 99")


def harm_orphan(settings: CacheSettings, parts: Parts) -> None:
    known = parts.data_file(settings.directory)
    known.with_name("77-abc.0").write_bytes(b"x")


@pytest.mark.parametrize(
    ("harm", "kind", "text"),
    [
        (harm_bytes, "part", "part 1 is damaged: wrong CRC-64"),
        (harm_hole, "part", "part 2 is damaged: nothing was written there"),
        (harm_size, "part", "part 4 is damaged: the file ends before it"),
        (harm_file, "part", "3 parts (1, 2, 4) are damaged: the file is missing"),
        (harm_counter, "counter", "its row counts 5 parts, its bitmap has 3"),
        (harm_stray, "stray", "bytes of 1 part that should be absent"),
        (harm_space, "space", "12345 bytes of the disk are counted"),
        (harm_total, "space", "the counted space is not the sum"),
        (harm_orphan, "orphan", "77-abc.0 belongs to no object"),
    ],
)
def test_each_untruth_is_found_and_repaired(
    filled: CacheSettings,
    parts: Parts,
    harm: Callable[[CacheSettings, Parts], None],
    kind: str,
    text: str,
) -> None:
    harm(filled, parts)
    for repair in (False, True):
        report = look(filled, repair=repair)
        problem = report.problems[0]
        assert problem.kind == kind
        assert text in problem.text
        assert report.is_good is repair
    assert look(filled).problems == []


def execute_small(settings: CacheSettings, statement: str) -> None:
    path = settings.directory / settings.identity / "small.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def overwrite_small(settings: CacheSettings) -> None:
    path = settings.directory / settings.identity / "small.sqlite3"
    path.write_bytes(b"this is no database" * 1000)


@pytest.mark.parametrize(
    ("harm", "kind", "text"),
    [
        ("UPDATE blob SET data = zeroblob(length(data))", "part", "damaged: wrong CRC-64"),
        ("DELETE FROM blob", "part", "damaged: its bytes are missing"),
        ("INSERT INTO blob VALUES (77, x'00')", "orphan", "of 1 small object belong to no object"),
        ("", "small", "file is not a database"),
    ],
)
def test_each_untruth_of_small_objects_is_found_and_repaired(
    filled: CacheSettings, parts: Parts, harm: str, kind: str, text: str
) -> None:
    store = CacheStore.open(filled)
    entry = store.acquire(parts.version(1, key="small"))
    parts.write(entry, 0, 1)
    store.release(entry)
    store.close()
    assert look(filled).problems == []
    if harm:
        execute_small(filled, harm)
    else:
        overwrite_small(filled)
    for repair in (False, True):
        report = look(filled, repair=repair)
        problem = report.problems[0]
        assert problem.kind == kind
        assert text in problem.text
        assert report.is_good is repair
    assert look(filled).problems == []
    store = CacheStore.open(filled)
    assert store.cached_bytes([parts.version(5)]) == [3 * parts.SIZE]
    store.close()


def test_a_living_store_is_neither_blamed_nor_harmed(filled: CacheSettings, parts: Parts) -> None:
    store = CacheStore.open(filled)
    entry = store.acquire(parts.version(5))
    parts.write(entry, 0, 1)  # on the disk, not yet in the catalogue
    with workbench.opened(filled.directory, filled.identity) as bench:
        assert bench.owners == 1
        assert check(bench, repair=True).problems == []
    store.release(entry)
    store.close()
    store = CacheStore.open(filled)
    entry = store.acquire(parts.version(5))
    assert entry.missing(0, 5) == [range(3, 4)]
    assert entry.check(0, 5) == []
    store.release(entry)
    store.close()


def test_clear_removes_everything_unless_somebody_has_it_open(
    filled: CacheSettings, parts: Parts
) -> None:
    store = CacheStore.open(filled)
    assert not workbench.clear(filled.directory, filled.identity)
    store.close()
    assert workbench.clear(filled.directory, filled.identity)
    assert workbench.identities(filled.directory) == []
    left = {path.name for path in (filled.directory / filled.identity).iterdir()}
    assert left == {"lock", "owners"}
    CacheStore.open(filled).close()


def test_a_row_that_goes_between_two_looks_is_no_problem(
    filled: CacheSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    allocated = DataFile.allocated

    def evicted_meanwhile(file: DataFile) -> int:
        execute(filled, "DELETE FROM entry")
        return allocated(file)

    monkeypatch.setattr(DataFile, "allocated", evicted_meanwhile)
    assert [one.kind for one in look(filled).problems if one.key] == []


def test_a_path_limits_what_is_looked_at(filled: CacheSettings, parts: Parts) -> None:
    harm_bytes(filled, parts)
    harm_total(filled, parts)
    with workbench.opened(filled.directory, filled.identity) as bench:
        assert check(bench, repair=False, paths=["another", "another/"]).problems == []
        [problem] = check(bench, repair=False, paths=["key", "key/"]).problems
        assert problem.kind == "part"
