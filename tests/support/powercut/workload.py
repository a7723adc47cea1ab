"""What a store is put through while it is recorded, and what it has promised at each moment.

One seed, one workload: nothing here waits for a thread, a clock or chance of the process's own.
"""

import copy
import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from ossfs_resume.cache import CacheSettings, CacheStore, Entry, ObjectVersion
from ossfs_resume.cache.crc64 import checksum
from ossfs_resume.cache.data_file import DataFile
from support.powercut.recorder import Recorder

PART = 64 * 1024
NEVER_S = 1e6
VERSIONS = tuple(
    ObjectVersion(key, etag, size)
    for key, etag, size in (
        ("large", "1", 5 * PART + 1234),
        ("large", "2", 5 * PART + 1234),
        ("second", "1", 3 * PART),
        ("small", "1", 5000),
        ("small", "2", 5000),
        ("tiny", "1", 700),
    )
)


def quiet_settings(root: Path) -> CacheSettings:
    """A store that persists nothing by itself, in a directory that is not there yet."""
    return CacheSettings(root / "cache", "bucket", PART, NEVER_S, 1 << 60, NEVER_S, 1 << 60)


def content(version: ObjectVersion) -> bytes:
    """The bytes of a version, unlike those of every other; no part is like another."""
    return random.Random(repr(version)).randbytes(version.size)


def crc64(version: ObjectVersion) -> int:
    return checksum([content(version)])


def write(entry: Entry, first: int, stop: int) -> None:
    """Store the right bytes of the parts [first, stop)."""
    data = content(entry.version)
    spans = [entry.geometry.span(part) for part in range(first, stop)]
    entry.write_parts(first, [(data[a:b],) for a, b in spans])


@dataclass
class Promises:
    """What must be there after a power cut."""

    synced: dict[ObjectVersion, set[int]] = field(default_factory=dict)
    removed: set[int] = field(default_factory=set)
    """Rows that must not be there."""
    jobs: set[int] = field(default_factory=set)
    """Jobs that must be there."""
    dead_jobs: set[int] = field(default_factory=set)
    """Jobs that must not be there."""
    is_known: bool = False

    def copy(self) -> "Promises":
        """The same promises, which do not change with these."""
        return copy.deepcopy(self)


class Workload:
    """Random steps on a store, and for each the promises from that operation on."""

    def __init__(self, recorder: Recorder, seed: int, inherited: Promises | None = None) -> None:
        self._recorder = recorder
        self._chance = random.Random(seed)
        self._settings = quiet_settings(recorder.root)
        self._written: dict[ObjectVersion, set[int]] = {}
        self.promises = inherited or Promises()
        self.history: list[tuple[int, Promises]] = [(0, self.promises.copy())]

    def run(self, steps: int) -> None:
        with reproducible(self._chance.random()), self._recorder.recording():
            self._store = self._open()
            self._entries: dict[ObjectVersion, Entry] = {}
            for _ in range(steps):
                self._step()
            self._store.abandon()

    def promised(self, crash: int) -> Promises:
        """What was promised when ``crash`` operations had begun."""
        return [promises for at, promises in self.history if at <= crash][-1]

    def _step(self) -> None:
        steps = (
            [self._write] * 8
            + [self._commit] * 3
            + [self._sync] * 4
            + [self._sync_while_writing] * 2
            + [self._prove, self._check, self._job, self._end_job, self._known]
            + [self._discard, self._evict, self._remount, self._die, self._checkpoint]
        )
        self._chance.choice(steps)()

    def _open(self) -> CacheStore:
        store = CacheStore.open(self._settings, data_file=_BusyFile)
        store._leftovers.wait()
        return store

    def _entry(self) -> Entry:
        version = self._chance.choice(VERSIONS)
        if version not in self._entries:
            self._entries[version] = self._store.acquire(version)
            self._entries[version].expect_crc64(crc64(version))
        return self._entries[version]

    def _write(self) -> None:
        entry = self._entry()
        first = self._chance.randrange(entry.part_count)
        stop = self._chance.randint(first + 1, entry.part_count)
        write(entry, first, stop)
        self._written.setdefault(entry.version, set()).update(range(first, stop))

    def _commit(self) -> None:
        self._store.commit()

    def _sync(self) -> None:
        self._store.sync()
        for version, parts in self._written.items():
            self.promises.synced.setdefault(version, set()).update(parts)
        self._promise()

    def _sync_while_writing(self) -> None:
        """What is written when the disk has just answered is not safe before the next sync."""
        entry = self._entry()
        _BusyFile.after_sync = lambda: write(entry, 0, 2 if entry.part_count > 1 else 1)
        try:
            self._sync()
        finally:
            was_called, _BusyFile.after_sync = _BusyFile.after_sync is None, None
        if was_called:
            self._written.setdefault(entry.version, set()).update(range(min(2, entry.part_count)))

    def _prove(self) -> None:
        self._entry().prove()

    def _check(self) -> None:
        entry = self._entry()
        assert entry.check(0, entry.part_count) == []

    def _known(self) -> None:
        self._store.notes.mark_known()
        self.promises.is_known = True
        self._promise()

    def _job(self) -> None:
        self.promises.jobs.add(self._store.notes.add_job("key"))
        self._promise()

    def _end_job(self) -> None:
        if self.promises.jobs:
            number = self._chance.choice(sorted(self.promises.jobs))
            self.promises.jobs.remove(number)
            self._promise()
            self._store.notes.remove_job(number)
            self.promises.dead_jobs.add(number)
            self._promise()

    def _discard(self) -> None:
        entry = self._entry()
        self._entries.pop(entry.version)
        self._written.pop(entry.version, None)
        self.promises.synced.pop(entry.version, None)
        self._promise()
        self._store.discard(entry)
        self._store.release(entry)
        if entry.stock is not None:
            self.promises.removed.add(entry.stock.row_id)
        self._promise()

    def _evict(self) -> None:
        """Several at once, small objects among them; whatever nobody has open."""
        for version in [one for one in self._entries if one.size <= PART]:
            self._store.release(self._entries.pop(version))
        for version in VERSIONS:
            if version not in self._entries:
                self._written.pop(version, None)
                self.promises.synced.pop(version, None)
        self._promise()
        self._store.keeper.evict_below("")
        self._promise()

    def _checkpoint(self) -> None:
        self._store._catalog.checkpoint()
        self._store._blobs.checkpoint()

    def _remount(self) -> None:
        self._store.close()
        self._entries.clear()
        self._store = self._open()

    def _die(self) -> None:
        """kill -9: what was not committed is gone."""
        self._store.abandon()
        self._entries.clear()
        self._store = self._open()
        for version in self._written:
            entry = self._store.acquire(version)
            gone = {part for run in entry.missing(0, entry.part_count) for part in run}
            self._written[version] -= gone
            self._store.release(entry)

    def _promise(self) -> None:
        self.history.append((len(self._recorder.operations), self.promises.copy()))


class _BusyFile(DataFile):
    """Does one thing more at the end of a sync."""

    after_sync: Callable[[], None] | None = None

    def sync(self) -> None:
        super().sync()
        after, _BusyFile.after_sync = _BusyFile.after_sync, None
        if after:
            after()


@contextmanager
def reproducible(seed: float) -> Iterator[None]:
    """Names of files and owners come from ``seed``; time stands still."""
    chance = random.Random(seed)
    with (
        mock.patch.object(secrets, "token_hex", lambda count: chance.randbytes(count).hex()),
        mock.patch("time.time", return_value=1e9),
        mock.patch("uuid.uuid4", side_effect=lambda: chance.randbytes(16).hex()),
    ):
        yield
