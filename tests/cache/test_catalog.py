"""The catalogue against a model, and how it opens."""

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from ossfs_resume.cache import schema
from ossfs_resume.cache.bitmap import PartBitmap
from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.failure import DamagedCatalog
from ossfs_resume.cache.geometry import Geometry
from ossfs_resume.cache.models import (
    CRC_BYTES,
    EntryChanges,
    Generation,
    ObjectVersion,
    PartRun,
)
from ossfs_resume.errors import CacheError

MANY = 100_000
ODD_KEY = b"caf\xe9/\xff".decode("utf-8", "surrogateescape")


def changes(*runs: PartRun, crc64: int | None = None, verified: bool = False) -> EntryChanges:
    return EntryChanges(runs, crc64, verified, 1)


def crc_run(first: int, *crcs: int) -> PartRun:
    return PartRun(first, b"".join(crc.to_bytes(CRC_BYTES, "little") for crc in crcs))


def add(catalog: Catalog, version: ObjectVersion, part_size: int = 1) -> Generation:
    with catalog.transaction() as transaction:
        row = transaction.ensure_entry(version, part_size, "suffix", 1)
    return Generation(row.row_id, Geometry(version.size, part_size))


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = Catalog(tmp_path / "catalog.sqlite3").open()
    yield catalog
    catalog.close()


class CatalogMachine(RuleBasedStateMachine):
    """Two entries of 2500 parts (three segments) and one of a single part, changed at random."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.catalog = Catalog(path / str(time.time_ns())).open()
        versions = [ObjectVersion("a", "e", 2500 * 4 - 3), ObjectVersion("b", "e", 10_000)]
        versions.append(ObjectVersion("c", "e", 3))
        self.versions = versions
        self.generations = [add(self.catalog, version, 4) for version in versions]
        self.row_ids = {generation.row_id for generation in self.generations}
        self.written: list[dict[int, int]] = [{} for _ in versions]
        self.synced: list[set[int]] = [set() for _ in versions]

    def pick(self, data: st.DataObject) -> tuple[int, range]:
        which = data.draw(st.integers(0, len(self.versions) - 1))
        count = self.generations[which].geometry.part_count
        first = data.draw(st.integers(0, count - 1))
        return which, range(first, data.draw(st.integers(first + 1, count)))

    @rule(data=st.data(), salt=st.integers(0, (1 << 64) - 3000))
    def write(self, data: st.DataObject, salt: int) -> None:
        which, parts = self.pick(data)
        crcs = [salt + part for part in parts]
        with self.catalog.transaction() as transaction:
            run = crc_run(parts.start, *crcs)
            assert transaction.apply(self.generations[which], changes(run))
        self.written[which] |= dict(zip(parts, crcs, strict=True))
        self.synced[which] -= set(parts)

    @rule(data=st.data())
    def sync(self, data: st.DataObject) -> None:
        which, parts = self.pick(data)
        if self.generations[which].geometry.part_count == 1:
            return
        with self.catalog.transaction(durable=True) as transaction:
            assert transaction.mark_synced(self.generations[which], [parts])
        self.synced[which] |= set(parts) & self.written[which].keys()

    @rule(data=st.data())
    def clear(self, data: st.DataObject) -> None:
        which, parts = self.pick(data)
        with self.catalog.transaction() as transaction:
            assert transaction.clear_parts(self.generations[which], [parts])
        for part in parts:
            self.written[which].pop(part, None)
        self.synced[which] -= set(parts)

    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        which, parts = self.pick(data)
        with pytest.raises(ZeroDivisionError), self.catalog.transaction() as transaction:  # noqa: PT012
            transaction.remove(self.generations[which])
            transaction.apply(self.generations[which], changes(crc_run(parts.start, 1)))
            raise ZeroDivisionError

    @rule(data=st.data())
    def remove_and_begin_anew(self, data: st.DataObject) -> None:
        which, parts = self.pick(data)
        old = self.generations[which]
        with self.catalog.transaction(durable=True) as transaction:
            assert transaction.remove(old)
            assert not transaction.remove(old)
            assert not transaction.apply(old, changes(crc_run(parts.start, 1)))
            assert not transaction.mark_synced(old, [parts])
            assert not transaction.clear_parts(old, [parts])
        assert self.catalog.load([self.versions[which]]) == [None]
        new = add(self.catalog, self.versions[which], old.geometry.part_size)
        assert new.row_id not in self.row_ids
        self.row_ids.add(new.row_id)
        self.generations[which] = new
        self.written[which], self.synced[which] = {}, set()

    @invariant()
    def agrees_with_the_model(self) -> None:
        for version, generation, written, synced in zip(
            self.versions, self.generations, self.written, self.synced, strict=True
        ):
            (found,) = self.catalog.load([version])
            assert found is not None
            row, stored = found
            count = generation.geometry.part_count
            assert row.row_id == generation.row_id
            assert row.parts_present == len(written)
            assert row.bytes_present == sum(
                stop - start for start, stop in map(generation.geometry.span, written)
            )
            for packed, expected in ((stored.written, set(written)), (stored.synced, synced)):
                bitmap = PartBitmap.from_bytes(count, packed)
                assert {p for run in bitmap.present(0, count) for p in run} == expected
            for part, crc in written.items():
                at = part * CRC_BYTES
                assert int.from_bytes(stored.crcs[at : at + CRC_BYTES], "little") == crc
        present = [len(w) for w in self.written]
        assert [bool(n) for n in self.catalog.present_bytes(self.versions)] == [
            bool(n) for n in present
        ]

    def teardown(self) -> None:
        self.catalog.close()


def test_catalogue_agrees_with_a_dictionary(tmp_path: Path) -> None:
    run_state_machine_as_test(
        lambda: CatalogMachine(tmp_path),
        settings=hypothesis_settings(max_examples=25, stateful_step_count=15),
    )


def test_an_entry_is_verified_only_if_it_is_complete(catalog: Catalog) -> None:
    version = ObjectVersion("key", "etag", 2)
    generation = add(catalog, version)
    with catalog.transaction() as transaction:
        transaction.apply(generation, changes(crc_run(0, 1), crc64=(1 << 64) - 1, verified=True))
    row = catalog.find(version)
    assert row is not None
    assert (row.is_verified, row.crc64) == (False, (1 << 64) - 1)
    with catalog.transaction() as transaction:
        transaction.apply(generation, changes(crc_run(1, 1), verified=True))
    row = catalog.find(version)
    assert row is not None
    assert (row.is_verified, row.crc64) == (True, (1 << 64) - 1)


def test_a_small_complete_object_has_no_segment(catalog: Catalog, tmp_path: Path) -> None:
    generation = add(catalog, ObjectVersion("key", "etag", 5), 16)
    with catalog.transaction() as transaction:
        transaction.apply(generation, changes(crc_run(0, 1)))
    with sqlite3.connect(tmp_path / "catalog.sqlite3") as other:
        assert other.execute("SELECT count(*) FROM segment").fetchone() == (0,)
        assert other.execute("SELECT complete FROM entry").fetchone() == (1,)
    other.close()


def test_keys_with_illegal_bytes_survive(catalog: Catalog) -> None:
    version = ObjectVersion(ODD_KEY, "etag", 1)
    add(catalog, version)
    with catalog.transaction() as transaction:
        number = transaction.add_job(ODD_KEY)
    assert catalog.find(version) is not None
    assert [record.version for record in catalog.entries("", None, 9)] == [version]
    assert catalog.jobs() == [(number, ODD_KEY, False)]


def test_a_part_that_is_written_again_is_synced_no_longer(catalog: Catalog) -> None:
    version = ObjectVersion("key", "etag", 3)
    generation = add(catalog, version)
    with catalog.transaction() as transaction:
        transaction.apply(generation, changes(crc_run(0, 1, 2, 3)))
        transaction.mark_synced(generation, [range(3)])
        transaction.apply(generation, changes(crc_run(1, 2)))
    (loaded,) = catalog.load([version])
    assert loaded is not None
    assert (loaded[1].written[0], loaded[1].synced[0]) == (0b111, 0b101)


def test_a_missing_row_is_no_current_generation(catalog: Catalog) -> None:
    with catalog.transaction() as transaction:
        assert not transaction.apply(Generation(99, Geometry(1, 1)), changes())


@pytest.mark.parametrize("durable", [False, True])
def test_synchronous_is_full_in_durable_transactions_only(catalog: Catalog, durable: bool) -> None:
    for _ in range(2):
        with catalog.transaction(durable=durable) as transaction:
            (level,) = transaction._connection.execute("PRAGMA synchronous").fetchone()
            assert level == (2 if durable else 1)
        with catalog.transaction() as transaction:
            (level,) = transaction._connection.execute("PRAGMA synchronous").fetchone()
            assert level == 1


def test_a_large_log_is_merged_into_the_database(catalog: Catalog, tmp_path: Path) -> None:
    log = tmp_path / "catalog.sqlite3-wal"
    generation = add(catalog, ObjectVersion("key", "etag", 1 << 20))
    while log.stat().st_size <= 4 << 20:
        with catalog.transaction() as transaction:
            run = PartRun(0, os.urandom(CRC_BYTES * 100_000))
            transaction.apply(generation, changes(run))
    catalog.checkpoint_if_large()
    with catalog.transaction() as transaction:
        transaction.add_fact("restarts the log")
    assert log.stat().st_size < 1 << 20


def test_a_newer_schema_is_refused_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite3"
    Catalog(path).open().close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    with pytest.raises(CacheError, match=f"schema version {schema.VERSION + 1}") as raised:
        Catalog(path).open()
    assert not isinstance(raised.value, DamagedCatalog)


def test_what_is_no_database_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite3"
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(DamagedCatalog, match=str(path)):
        Catalog(path).open()


def test_a_path_that_cannot_be_opened_is_not_damaged(tmp_path: Path) -> None:
    with pytest.raises(CacheError) as raised:
        Catalog(tmp_path / "no such folder" / "catalog.sqlite3").open()
    assert not isinstance(raised.value, DamagedCatalog)
    assert isinstance(raised.value.__cause__, OSError)


def test_a_listing_is_answered_in_its_order(catalog: Catalog) -> None:
    versions = [ObjectVersion(f"folder/{number}", "etag", 5) for number in range(3)]
    for version in versions[::-1]:
        generation = add(catalog, version, 16)
        with catalog.transaction() as transaction:
            transaction.apply(generation, changes(crc_run(0, 1)))
    asked = [versions[2], ObjectVersion("unknown", "etag", 5), versions[0]]
    assert catalog.present_bytes(asked) == [5, 0, 5]


@pytest.mark.parametrize("others", [0, 50])
def test_what_is_present_of_many_is_told_whatever_lies_between_them(
    tmp_path: Path, others: int
) -> None:
    """Few known ones are found by one look, among many others each is asked for."""
    catalog = Catalog(tmp_path / "catalog.sqlite3").open()
    known = [ObjectVersion("d/a", "E", 7), ObjectVersion("d/\udcff", "F", 9)]
    for version in [*known, *(ObjectVersion(f"d/c{n}", "E", 3) for n in range(others))]:
        add(catalog, version)
    with sqlite3.connect(tmp_path / "catalog.sqlite3") as connection:
        connection.execute("UPDATE entry SET bytes_present = size")
    connection.close()
    asked = [
        ObjectVersion("d/a", "old", 7), known[0], ObjectVersion("d/b", "E", 1),
        ObjectVersion("d/\U0001f600", "E", 1), known[1],
    ]  # fmt: skip
    assert catalog.present_bytes(asked) == [0, 7, 0, 0, 9]
    assert catalog.present_bytes(asked[1:2]) == [7]
    assert catalog.present_bytes([]) == []
    catalog.close()


def test_the_catalogues_files_are_private(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite3"
    path.touch(0o600)
    catalog = Catalog(path).open()
    add(catalog, ObjectVersion("key", "etag", 1))
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}
    catalog.close()
    assert len(modes) == 2
    assert set(modes.values()) == {0o600}
