"""The store against dictionaries, with everything that can go wrong going wrong."""

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ossfs_resume.cache import CacheStore, Entry, ObjectVersion, inventory
from ossfs_resume.cache.data_file import DataFile
from ossfs_resume.cache.entry import Absent, Damaged
from ossfs_resume.cache.part_check import NOWAIT_PARTS
from ossfs_resume.errors import CacheError, InUse
from support.powercut.workload import PART, content, crc64, quiet_settings, write

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "150"))
STEPS = int(os.environ.get("MODEL_STEPS", "40"))

VERSIONS = (
    ObjectVersion("key", "old", 5 * PART - 3),
    ObjectVersion("key", "new", 5 * PART - 3),
    ObjectVersion("one", "etag", PART - 9),
    ObjectVersion("empty", "etag", 0),
)


class BadDisk(DataFile):
    """Has room for ``room`` bytes more, and may not be able to sync."""

    room: int | None = None
    sync_fails = False

    def write(self, offset: int, chunks: Iterable[bytes]) -> None:
        data = b"".join(chunks)
        if self.room is None or len(data) <= self.room:
            super().write(offset, [data])
            return
        super().write(offset, [data[: self.room]])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def read_nowait(self, offset: int, length: int) -> bytes | None:
        """All of it is in memory, whatever the machine has to do."""
        if not self._descriptors:
            return None
        data = self.read(offset, length)
        return data if len(data) == length else None

    def sync(self) -> None:
        if self.sync_fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync()


class _Parts(dict[ObjectVersion, set[int]]):
    """Sets of parts by version."""

    def __init__(self) -> None:
        super().__init__({version: set() for version in VERSIONS})

    def become(self, other: "_Parts") -> None:
        self.update({version: set(parts) for version, parts in other.items()})


class StoreMachine(RuleBasedStateMachine):
    """What is in memory, in the catalogue, trusted, not yet synced, and damaged on the disk."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=_memory())
        self.root = Path(self.folder.name)
        self.present, self.committed, self.trusted = _Parts(), _Parts(), _Parts()
        self.unsynced, self.damaged = _Parts(), _Parts()
        self.has_new_small = False
        self.removed: set[int] = set()
        self.pinned: set[str] = set()
        self.last_used: dict[int, int] = {}
        self.clock = 10**9
        clock = SimpleNamespace(time=lambda: self.clock)
        self.patches = [
            mock.patch(f"ossfs_resume.cache.{name}.time", clock) for name in ("progress", "backing")
        ]
        for patch in self.patches:
            patch.start()
        self.open()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.store.abandon()
            for patch in self.patches:
                patch.stop()
            self.folder.cleanup()

    def open(self) -> None:
        self.store = CacheStore.open(quiet_settings(self.root), data_file=BadDisk)
        self.entries = {version: self.store.acquire(version) for version in VERSIONS}

    def pick(self, data: st.DataObject) -> tuple[ObjectVersion, Entry, range]:
        version = data.draw(st.sampled_from(VERSIONS))
        entry = self.entries[version]
        if not entry.part_count:
            return version, entry, range(0)
        first = data.draw(st.integers(0, entry.part_count - 1))
        return version, entry, range(first, data.draw(st.integers(first + 1, entry.part_count)))

    # --- downloading ---

    @rule(data=st.data())
    def write(self, data: st.DataObject) -> None:
        version, entry, run = self.pick(data)
        for missing in entry.missing(run.start, run.stop):
            write(entry, missing.start, missing.stop)
            self.wrote(version, missing)

    @rule(version=st.sampled_from(VERSIONS), stop=st.integers(1, 5))
    def write_from_the_start(self, version: ObjectVersion, stop: int) -> None:
        self.write_missing(version, stop)

    def write_missing(self, version: ObjectVersion, stop: int) -> None:
        entry = self.entries[version]
        for missing in entry.missing(0, min(stop, entry.part_count)):
            write(entry, missing.start, missing.stop)
            self.wrote(version, missing)

    @rule(version=st.sampled_from(VERSIONS), room=st.integers(0, 5 * PART))
    def write_until_the_disk_is_full(self, version: ObjectVersion, room: int) -> None:
        entry = self.entries[version]
        for missing in entry.missing(0, entry.part_count):
            start, stop = entry.geometry.bytes_of(missing.start, missing.stop)
            with mock.patch.object(BadDisk, "room", room):
                if stop - start <= room or entry.is_blob:  # which goes into memory at first
                    write(entry, missing.start, missing.stop)
                    self.wrote(version, missing)
                else:
                    with pytest.raises(CacheError, match="no space left"):
                        write(entry, missing.start, missing.stop)

    def wrote(self, version: ObjectVersion, run: Sequence[int]) -> None:
        self.present[version] |= set(run)
        self.trusted[version] |= set(run)
        self.damaged[version] -= set(run)
        if self.entries[version].part_count > 1:
            self.unsynced[version] |= set(run)
        elif run:
            self.has_new_small = True

    @rule()
    def commit(self) -> None:
        self.store.commit()
        self.committed.become(self.present)

    @rule()
    def sync(self) -> None:
        self.store.sync()
        self.committed_by_sync()
        self.unsynced = _Parts()

    def committed_by_sync(self) -> None:
        """A sync commits those that it syncs, and leaves the others to the next commit; but it
        commits everything before it syncs small objects, all at once."""
        if self.has_new_small:
            self.committed.become(self.present)
            self.has_new_small = False
        for version in VERSIONS:
            if self.unsynced[version]:
                self.committed[version] = set(self.present[version])

    @rule(version=st.sampled_from(VERSIONS))
    def commit_into_a_catalogue_that_takes_nothing(self, version: ObjectVersion) -> None:
        self.write_missing(version, 2)
        writer = self.store._catalog._require_writer()
        writer.set_authorizer(_refuse_updates)
        with suppress(CacheError):
            self.store.commit()
            self.committed.become(self.present)  # there was nothing to commit
        writer.set_authorizer(None)

    @rule(version=st.sampled_from(VERSIONS))
    def sync_that_fails(self, version: ObjectVersion) -> None:
        self.write_missing(version, 3)
        failing = [version for version in VERSIONS if self.unsynced[version]]
        if self.has_new_small:
            self.committed_by_sync()
        with mock.patch.object(BadDisk, "sync_fails", True):
            self.store.sync()
        for version in failing:
            self.discarded(version)
        if failing:
            self.trusted = _Parts()

    # --- ends and beginnings ---

    @rule()
    def close_and_open(self) -> None:
        self.store.close()
        self.committed.become(self.present)
        self.unsynced, self.trusted = _Parts(), _Parts()
        self.has_new_small = False
        self.open()

    @rule()
    def crash_and_open(self) -> None:
        self.store.abandon()
        self.present.become(self.committed)
        for version in VERSIONS:
            self.unsynced[version] &= self.present[version]
        self.trusted = _Parts()
        self.has_new_small = False
        self.open()

    @rule(data=st.data())
    def let_go_and_take_again(self, data: st.DataObject) -> None:
        version, entry, _ = self.pick(data)
        self.store.release(entry)
        self.sync()
        self.commit()
        self.taken_again(version)
        assert self.entries[version] is not entry

    def taken_again(self, version: ObjectVersion) -> None:
        self.entries[version] = self.store.acquire(version)
        if self.entries[version].part_count == 1:
            self.trusted[version] = set()

    @precondition(lambda self: any(self.present.values()))
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from([v for v in VERSIONS if self.present[v]]))
        entry = self.entries[version]
        self.store.discard(entry)
        with pytest.raises(CacheError, match="discarded"):
            entry.write_parts(0, [])
        self.discarded(version)

    def discarded(self, version: ObjectVersion) -> None:
        self.note_removed(self.entries[version])
        self.store.release(self.entries[version])
        self.entries[version] = self.store.acquire(version)
        self.forget(version)

    def forget(self, version: ObjectVersion) -> None:
        for model in (self.present, self.committed, self.trusted, self.unsynced, self.damaged):
            model[version] = set()

    def note_removed(self, entry: Entry) -> None:
        if entry.stock is not None:
            self.removed.add(entry.stock.row_id)

    # --- space ---

    @rule(key=st.sampled_from([version.key for version in VERSIONS]))
    def pin(self, key: str) -> None:
        self.store.keeper.pin([(key, 5 * PART)])
        self.pinned.add(key)

    @rule(key=st.sampled_from([version.key for version in VERSIONS]))
    def unpin(self, key: str) -> None:
        assert self.store.keeper.unpin(key) == (key in self.pinned)
        self.pinned.discard(key)

    @precondition(lambda self: any(self.present.values()))
    @rule(data=st.data(), is_open=st.booleans())
    def evict(self, data: st.DataObject, is_open: bool) -> None:
        """The version that was acquired last is the current one of its key, and may be pinned."""
        version = data.draw(st.sampled_from([v for v in VERSIONS if self.present[v]]))
        entry = self.entries[version]
        if not is_open:
            self.store.release(entry)
            self.sync()
        self.commit()
        with self.store._catalog._reading() as reader:
            [is_pinned] = [
                record.is_pinned
                for record in inventory.entries(reader, version.key, None, 9)
                if record.version == version
            ] or [False]
        if is_open or is_pinned:
            with pytest.raises(InUse):
                self.store.keeper.evict(version)
            if not is_open:
                self.taken_again(version)
            return
        self.store.keeper.evict(version)
        self.note_removed(entry)
        self.entries[version] = self.store.acquire(version)
        self.forget(version)

    @rule(seconds=st.integers(-(10**9), 10**9))
    def the_clock_is_set(self, seconds: int) -> None:
        self.clock = max(0, self.clock + seconds)

    # --- bad bytes ---

    def unchecked(self) -> list[tuple[ObjectVersion, int]]:
        return [(v, p) for v in VERSIONS for p in sorted(self.present[v] - self.trusted[v])]

    @precondition(lambda self: any(self.present.values()))
    @rule(data=st.data(), restart=st.booleans(), truncate=st.booleans())
    def damage(self, data: st.DataObject, restart: bool, truncate: bool) -> None:
        """What this process trusts it may not look at again, so most often it is a new one."""
        if restart:
            self.close_and_open()
        if unchecked := self.unchecked():
            self.damage_part(*data.draw(st.sampled_from(unchecked)), truncate=truncate)

    def damage_part(self, version: ObjectVersion, part: int, *, truncate: bool) -> None:
        if part in self.damaged[version]:
            return
        generation = self.entries[version].generation
        assert generation is not None
        self.damaged[version].add(part)
        if self.entries[version].is_blob:
            self.damage_row(version, generation.row_id, truncate=truncate)
            return
        (path,) = self.root.glob(f"cache/bucket/data/*/{generation.row_id}-*")
        start, stop = self.entries[version].geometry.span(part)
        if truncate and not any(p > part for p in self.present[version]):
            os.truncate(path, start + 1)
        else:
            flip(path, (start + stop) // 2)

    def damage_row(self, version: ObjectVersion, row_id: int, *, truncate: bool) -> None:
        """As if it had been so when the entry was acquired."""
        data = content(version)[:-1]
        self.store._blobs.store([(row_id, data if truncate else data + b"?")])
        self.entries[version]._backing.file.forget_pages()

    @rule(data=st.data())
    def check(self, data: st.DataObject) -> None:
        version, entry, run = self.pick(data)
        bad = self.damaged[version] & set(run)
        assert entry.check(run.start, run.stop) == sorted(bad)
        if bad:
            self.found_bad(version, bad)
            after = {part for part in run if part > max(bad)}
        self.trusted[version] |= self.present[version] & (after if bad else set(run))

    def found_bad(self, version: ObjectVersion, bad: set[int]) -> None:
        """They are gone, and everything else is in doubt."""
        for model in (self.present, self.committed, self.unsynced, self.damaged):
            model[version] -= bad
        self.trusted = _Parts()

    # --- what users see ---

    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        version, entry, _ = self.pick(data)
        offset = data.draw(st.integers(0, version.size))
        length = data.draw(st.integers(0, version.size - offset))
        touched = set(entry.geometry.parts(offset, length))
        expected = content(version)[offset : offset + length]
        good = self.present[version] - self.damaged[version]
        if touched <= self.trusted[version]:
            assert entry.read_nowait(offset, length) == expected
        elif touched <= good and len(touched) <= NOWAIT_PARTS:
            found = entry.read_nowait(offset, length)  # compared by who reads, if it is open
            assert found in (None, expected)
            if found is not None:
                self.trusted[version] |= touched
        elif not touched <= self.present[version] or len(touched) > NOWAIT_PARTS:
            with pytest.raises(Absent):
                entry.read_nowait(offset, length)
        if touched <= self.present[version] - self.damaged[version]:
            assert entry.read(offset, length) == expected
            self.trusted[version] |= touched
        elif touched <= self.present[version]:
            with pytest.raises(Damaged, match="not what was stored"):
                entry.read(offset, length)
            bad = touched & self.damaged[version]
            self.found_bad(version, bad)
            self.trusted[version] = {part for part in touched if part > max(bad)}

    @rule(data=st.data(), is_right=st.booleans())
    def prove(self, data: st.DataObject, is_right: bool) -> None:
        version, entry, _ = self.pick(data)
        is_complete = len(self.present[version]) == entry.part_count
        entry.expect_crc64(crc64(version) ^ (not is_right))
        assert entry.prove() is (is_right if is_complete else None)
        assert entry.progress.is_verified == (is_complete and is_right)

    @invariant()
    def memory_agrees(self) -> None:
        for version in VERSIONS:
            entry, present = self.entries[version], self.present[version]
            missing = {part for run in entry.missing(0, entry.part_count) for part in run}
            assert missing == set(range(entry.part_count)) - present
            assert entry.progress.present_bytes == sum(
                stop - start for start, stop in map(entry.geometry.span, present)
            )
            assert entry.stock is None or entry.stock.row_id not in self.removed
            assert entry.unchecked(0, entry.part_count) == bool(present - self.trusted[version])
            assert not (entry.progress.is_verified and missing)

    @invariant()
    def the_catalogue_agrees(self) -> None:
        for version in VERSIONS:
            row = self.store._catalog.find(version)
            assert (row.parts_present if row else 0) == len(self.committed[version])
            assert row is None or row.row_id not in self.removed

    @invariant()
    def last_use_never_goes_back(self) -> None:
        with self.store._catalog._reading() as reader:
            now = dict(reader.execute("SELECT id, last_used FROM entry"))
        assert all(now.get(row, used) >= used for row, used in self.last_used.items())
        self.last_used = now


def _refuse_updates(action: int, table: str | None, column: str | None, *_: object) -> int:
    """In the middle of a transaction: its first changes have been made by then."""
    is_late = (action, table, column) == (sqlite3.SQLITE_UPDATE, "entry", "bytes_present")
    return sqlite3.SQLITE_DENY if is_late else sqlite3.SQLITE_OK


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def _memory() -> str | None:
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


@pytest.mark.timeout(3600)
def test_the_store_agrees_with_dictionaries() -> None:
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            derandomize="MODEL_EXAMPLES" not in os.environ,
            suppress_health_check=list(HealthCheck),
        ),
    )
