"""What one task does between two steps of another, in this process and in a second one.

A removal is a change in memory, a commit and an effect on the file; a check is bytes that are read
and a report; a refresh is rows that are read and a report. Wherever one of them stands between two
of its steps, others are let act, chosen by hypothesis. Whatever they do, a part that a process
trusts has the right bytes in its file, and what is served is right.

The second process is a second store in this one: its file locks belong to descriptors (OFD) and
SQLite's to connections, so the two keep apart as two processes do, and every order of their steps
can be had again. Each action runs in a thread of its own, to its end, and is offered only where
nothing holds it up.
"""

import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

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

from ossfs_resume.cache import CacheStore, Entry, ObjectVersion, workbench
from ossfs_resume.cache.check import check
from ossfs_resume.cache.data_file import DataFile
from ossfs_resume.cache.folder import StoreFolder
from ossfs_resume.errors import CacheError, InUse
from support.powercut.workload import PART, content, quiet_settings, write

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "60"))
STEPS = int(os.environ.get("MODEL_STEPS", "25"))

PARTS = 4
VERSION = ObjectVersion("key", "etag", PARTS * PART - 3)
CONTENT = content(VERSION)

Point = Callable[[str], None]

FREE = {"row read", "bytes read", "bytes written"}
"""Where nothing is held."""
SAME, OTHER = "same", "other"


class Paused(DataFile):
    """Stands still between its steps. All of it is in memory, whatever the machine has to do."""

    point: Point = staticmethod(lambda name: None)

    def read(self, offset: int, length: int) -> bytes:
        data = super().read(offset, length)
        self.point("bytes read")
        return data

    def read_nowait(self, offset: int, length: int) -> bytes | None:
        if not self._descriptors:
            return None
        data = self.read(offset, length)
        return data if len(data) == length else None

    def write(self, offset: int, chunks: Any) -> None:
        super().write(offset, chunks)
        self.point("bytes written")

    def punch(self, offset: int, length: int) -> None:
        super().punch(offset, length)
        self.point("punched")

    def unlink(self, *, at_once: bool = False) -> None:
        super().unlink(at_once=at_once)
        self.point("unlinked")


class Process:
    """A store that does nothing by itself, and the one entry that it has open."""

    def __init__(self, root: Path, point: Point) -> None:
        self.store = CacheStore.open(quiet_settings(root), data_file=Paused)
        store = self.store
        for thread in (store._leftovers, store._watch, store._sharing, store._reclaimer):
            thread.stop()
        self.store._committer.stop()
        catalog: Any = self.store._catalog
        self._transaction, self._load_run = catalog.transaction, catalog.load_run
        self._point = point
        catalog.transaction, catalog.load_run = self.transaction, self.load_run
        self.acquire()

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[Any]:
        with self._transaction(durable=durable) as transaction:
            yield transaction
            self._point("changed")
        self._point("committed")

    def load_run(self, version: ObjectVersion, parts: range) -> Any:
        found = self._load_run(version, parts)
        self._point("row read")
        return found

    def acquire(self) -> None:
        self.entry: Entry = self.store.acquire(VERSION)

    def bytes_of(self, part: int) -> bytes:
        """What its file has."""
        return DataFile.read(self.entry._backing.file, part * PART, PART)

    def has_bad(self) -> bool:
        """Whether it believes in bytes that are not there, and may find out."""
        missing = {part for run in self.entry.missing(0, PARTS) for part in run}
        present = set(range(PARTS)) - missing
        return any(not is_right(self.bytes_of(part), part) for part in present)

    # --- what it can do ---

    def refresh(self) -> None:
        self.entry.refresh(range(PARTS))

    def check(self) -> None:
        self.entry.check(0, PARTS)

    def look_again(self) -> None:
        self.refresh()
        self.check()

    def read(self) -> None:
        self.serve(self.entry.read_nowait)
        self.serve(self.entry.read)

    @staticmethod
    def serve(read: Callable[[int, int], bytes | None]) -> None:
        for part in range(PARTS):
            offset = part * PART
            length = min(PART, VERSION.size - offset)
            with suppress(CacheError):
                assert read(offset, length) in (None, CONTENT[offset : offset + length])

    def write(self) -> None:
        with suppress(CacheError):
            for run in self.entry.missing(0, PARTS):
                write(self.entry, run.start, run.stop)

    def write_over(self) -> None:
        with suppress(CacheError):
            write(self.entry, 0, PARTS)

    def commit(self) -> None:
        self.store.commit()

    def sync(self) -> None:
        self.store.sync()

    def evict_parts(self) -> None:
        self.entry.remove_parts(2 * PART, 1, ahead=True)

    def evict(self) -> None:
        """Whole, while nobody here has it open."""
        self.release()
        with suppress(InUse):
            self.store.keeper.evict(VERSION)
        self.acquire()

    def close_and_open(self) -> None:
        """The file, and perhaps what was trusted is remembered."""
        self.release()
        self.acquire()

    def release(self) -> None:
        self.store.release(self.entry)
        self.store.sync()
        self.store.commit()

    def throw_away(self) -> None:
        """As if somebody else had it open as well."""
        self.store.discard(self.entry)
        self.acquire()

    def discard(self) -> None:
        self.store.discard(self.entry)
        self.store.release(self.entry)
        self.acquire()

    def lose(self) -> None:
        self.entry.lose([0, 2])

    def hear(self) -> None:
        """Of repairs."""
        self.store._watch._looks[1]()


REMOVING = ("evict_parts", "evict_parts", "lose", "discard", "evict")
REPORTING = ("check", "look_again", "read", "write_over")
READING = ("refresh", "look_again", "read")
WRITING = ("write", "write_over")
CHANGING = (*WRITING, "commit", "sync", "evict_parts", "lose", "check", "hear", "throw_away")
ENDING = ("discard", "evict", "close_and_open")

Action = tuple[str, str]


def offered(point: str, operation: str, *, has_bad: bool) -> list[Action]:
    """What cannot be held up there by what ``operation`` of a process holds."""
    if operation in ENDING:
        # The version, or the lock of those who open entries; the other has its own.
        return [(OTHER, "refresh"), (OTHER, "read_trusted")]
    if point in FREE:
        return [(who, name) for who in (SAME, OTHER) for name in (*READING, *CHANGING)]
    if operation in WRITING:
        return []  # it makes its row, and whoever asks for that waits
    # Removing: the file is locked, and the catalogue until the commit. What is bad would have to
    # be cleared there by whoever finds it.
    names = ("refresh",) if has_bad else READING
    return [(SAME, name) for name in names] + [(OTHER, "refresh")]


class Interleavings(RuleBasedStateMachine):
    """Two processes; at each point one of them, or both, may act."""

    @initialize()
    def begin(self) -> None:
        memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.folder = tempfile.TemporaryDirectory(dir=memory)
        self.root = Path(self.folder.name)
        self.data: st.DataObject | None = None
        self.operation = ""
        self.who = 0
        self.is_bad = False
        Paused.point = staticmethod(self.point)
        # A third owner, so that both share the catalogue from the beginning.
        settings = quiet_settings(self.root)
        self.bystander = StoreFolder(settings.directory, settings.identity)
        with self.bystander.opening():
            self.bystander.register_owner()
        self.processes = [Process(self.root, self.point) for _ in range(2)]

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.data = None
            for process in self.processes:
                process.store.abandon()
            self.bystander.unregister_owner()
            Paused.point = staticmethod(lambda name: None)
            self.folder.cleanup()

    def point(self, name: str) -> None:
        """Here the operation stands still, and others act."""
        data = self.data
        if data is None or threading.current_thread() is not threading.main_thread():
            return
        is_open = self.operation not in ENDING
        has_bad = name == "changed" and is_open and self.processes[self.who].has_bad()
        actions = offered(name, self.operation, has_bad=has_bad)
        if not actions:
            return
        for whose, action in data.draw(st.lists(st.sampled_from(actions), max_size=2), label=name):
            process = self.processes[self.who if whose == SAME else 1 - self.who]
            if action == "read_trusted":
                run(lambda process=process: process.serve(process.entry.read_nowait))  # type: ignore[misc]
            else:
                run(getattr(process, action))

    def perform(self, data: st.DataObject, who: int, operation: str) -> None:
        self.who, self.operation, self.data = who, operation, data
        try:
            getattr(self.processes[who], operation)()
        finally:
            self.data = None
        self.is_bad = self.is_bad and bool(self.bad())

    @rule(data=st.data(), who=st.integers(0, 1), operation=st.sampled_from(READING + CHANGING))
    def step(self, data: st.DataObject, who: int, operation: str) -> None:
        self.perform(data, who, operation)

    @rule(data=st.data(), who=st.integers(0, 1), operation=st.sampled_from(ENDING))
    def end(self, data: st.DataObject, who: int, operation: str) -> None:
        self.perform(data, who, operation)

    @rule(data=st.data(), who=st.integers(0, 1), operation=st.sampled_from(REMOVING))
    def remove(self, data: st.DataObject, who: int, operation: str) -> None:
        self.fill(who)
        self.perform(data, who, operation)

    @rule(data=st.data(), who=st.integers(0, 1), operation=st.sampled_from(REPORTING))
    def report(self, data: st.DataObject, who: int, operation: str) -> None:
        """About parts that this process trusts as little as those of another."""
        self.fill(who)
        self.processes[who].entry.progress.doubt()
        self.perform(data, who, operation)

    def fill(self, who: int) -> None:
        """All that is missing, read and committed: what an eviction finds."""
        process = self.processes[who]
        process.refresh()
        process.write()
        process.read()
        process.commit()

    @precondition(lambda self: not self.is_bad)
    @rule(part=st.integers(0, PARTS - 1))
    def the_disk_loses(self, part: int) -> None:
        """A part that neither process has seen."""
        stored = self.stored()
        if part not in stored or any(
            p.entry.progress.trusts(part, part + 1) for p in self.processes
        ):
            return
        self.is_bad = True
        with stored[part].open("r+b") as file:
            file.seek(part * PART)
            file.write(bytes(100))

    @precondition(lambda self: self.is_bad)
    @rule(data=st.data(), who=st.integers(0, 1))
    def find_it(self, data: st.DataObject, who: int) -> None:
        self.perform(data, who, "check")

    @precondition(lambda self: self.is_bad)
    @rule()
    def repair(self) -> None:
        with workbench.opened(self.root / "cache", "bucket") as bench:
            check(bench, repair=True)
        self.is_bad = False

    def stored(self) -> dict[int, Path]:
        """The parts that the catalogue has, and where they are."""
        found = self.processes[0].store._catalog.load([VERSION])[0]
        if found is None:
            return {}
        paths = list((self.root / "cache").glob(f"bucket/data/*/{found[0].row_id}-*"))
        return {p: paths[0] for p in range(PARTS) if found[1].written[0] >> p & 1 and paths}

    def bad(self) -> Sequence[int]:
        stored = self.stored()
        return [
            part
            for part, path in stored.items()
            if not is_right(path.read_bytes()[part * PART : (part + 1) * PART], part)
        ]

    @invariant()
    def what_is_trusted_is_there(self) -> None:
        for process in self.processes:
            trusted = [p for p in range(PARTS) if process.entry.progress.trusts(p, p + 1)]
            for part in trusted:
                assert is_right(process.bytes_of(part), part), f"part {part} is trusted"

    @invariant()
    def the_catalogue_claims_what_is_there(self) -> None:
        assert self.is_bad or not self.bad()


def is_right(data: bytes, part: int) -> bool:
    return data == CONTENT[part * PART : (part + 1) * PART]


def run(action: Callable[[], None]) -> None:
    """In a thread of its own, as whoever else would; to its end."""
    failures: list[BaseException] = []

    def act() -> None:
        try:
            action()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


@pytest.mark.timeout(3600)
def test_nobody_overtakes_a_removal() -> None:
    run_state_machine_as_test(
        Interleavings,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            derandomize="MODEL_EXAMPLES" not in os.environ,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
