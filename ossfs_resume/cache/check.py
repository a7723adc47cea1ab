"""Compares a catalogue with its files, and clears what is not true.

For every entry: do the counters agree with the bitmaps, are the present parts inside the files and
not in holes, and have they the stored CRC-64; does the disk hold bytes that no part claims, and is
the counted space right. Then the files: is there a row for each.

Beside a living mount everything moves. A part is written before the catalogue claims it, and
unlinked or punched after the claim was withdrawn, so what looks wrong is looked at again with a row
read afterwards: what is still claimed then is wrong indeed. Unclaimed bytes and counted space are
judged only for files that nobody has open.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ossfs_resume.cache import workbench
from ossfs_resume.cache.bitmap import PartBitmap
from ossfs_resume.cache.crc64 import checksum
from ossfs_resume.cache.data_file import FoundFile
from ossfs_resume.cache.failure import DamagedCatalog, translated
from ossfs_resume.cache.geometry import Geometry
from ossfs_resume.cache.ledger import PartLedger
from ossfs_resume.cache.models import EntryRow, Generation, ObjectVersion, StoredParts
from ossfs_resume.cache.small_objects import Gone
from ossfs_resume.cache.storage import Storage
from ossfs_resume.cache.workbench import Workbench
from ossfs_resume.errors import CacheError
from ossfs_resume.wording import counted, quoted, reason

_IDS = 1024
"""Small objects that are looked at in a step."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not true. ``key`` is empty for what belongs to no object."""

    kind: str
    key: str
    text: str
    is_repaired: bool = False


@dataclass(slots=True)
class Report:
    """What was looked at, and what was found wrong."""

    entries: int = 0
    parts: int = 0
    bytes: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether everything is true now."""
        return all(problem.is_repaired for problem in self.problems)


def check_store(
    directory: Path, identity: str, *, repair: bool, paths: Sequence[str] = ("",)
) -> Report:
    """Look at everything in a store, or at these keys and what is below these prefixes; with
    ``repair`` also clear what is not true, and move aside a catalogue that cannot be read, if
    nobody has it open. Raises CacheError."""
    try:
        with workbench.opened(directory, identity) as bench:
            return check(bench, repair=repair, paths=paths)
    except DamagedCatalog as error:
        aside = workbench.move_aside(directory, identity) if repair else None
        text = f"{error}; it is moved to {quoted(aside)}, with its data" if aside else str(error)
        return Report(problems=[Problem("catalogue", "", text, is_repaired=aside is not None)])


def check(bench: Workbench, *, repair: bool, paths: Sequence[str] = ("",)) -> Report:
    """Look at everything, or at the entries of these keys and prefixes; with ``repair`` also clear
    what is not true. Raises CacheError."""
    checker = _Checker(bench, repair=repair)
    checker.check_blobs()
    for path in paths:
        for record in bench.keeper.records(path):
            checker.check_entry(record.version)
    if "" in paths:
        for text in bench.catalog.integrity():
            checker.report.problems.append(Problem("catalogue", "", text))
        checker.check_total()
        with translated("look through the data files"):
            checker.check_files()
            checker.check_rubbish()
    return checker.report


class _Checker:
    def __init__(self, bench: Workbench, *, repair: bool) -> None:
        self._bench = bench
        self._catalog = bench.catalog
        self._repair = repair
        self.report = Report()

    def check_entry(self, version: ObjectVersion) -> None:
        """One row, its parts and its files."""
        (found,) = self._catalog.load([version])
        if found is None:
            return
        row, parts = found
        geometry = Geometry(version.size, row.part_size)
        file = self._bench.storage(row.row_id, row.file_suffix, version.size)
        try:
            with translated(f"read the data of {version.key!r}"):
                self._check_parts(version, Generation(row.row_id, geometry), file)
                self._check_counters(version, row, geometry, parts)
                if self._is_alone(row, file):
                    self._check_space(version, row.row_id, file)
        finally:
            file.close()

    def _is_alone(self, row: EntryRow, file: Storage) -> bool:
        """Whether nobody uses it; there is no lock on a small object."""
        if row.is_blob:
            return not self._bench.owners and self._bench.blobs.is_open
        return file.lock_alone()

    def _check_parts(self, version: ObjectVersion, generation: Generation, file: Storage) -> None:
        ledger = self._ledger(version, generation)
        present = _numbers(ledger, generation.geometry)
        self.report.entries += 1
        self.report.parts += len(present)
        self.report.bytes += ledger.present_bytes
        faults = {part: _fault(file, generation.geometry, ledger, part) for part in present}
        suspects = {part: fault for part, fault in faults.items() if fault}
        if not suspects:
            return
        claimed = set(_numbers(self._ledger(version, generation), generation.geometry))
        bad = sorted(claimed & suspects.keys())
        if bad:
            are = "is" if len(bad) == 1 else "are"
            text = f"{_listed(bad)} {are} damaged: {suspects[bad[0]]}"
            self._found("part", version.key, text, self._clear_parts(version, generation, bad))

    def _ledger(self, version: ObjectVersion, generation: Generation) -> PartLedger:
        """What the catalogue claims now of this generation; nothing if it is gone."""
        (found,) = self._catalog.load([version])
        if found is None or found[0].row_id != generation.row_id:
            return PartLedger(generation.geometry)
        return PartLedger(generation.geometry, found[1])

    def _clear_parts(
        self, version: ObjectVersion, generation: Generation, parts: list[int]
    ) -> bool:
        if not self._repair:
            return False
        with self._catalog.transaction() as transaction:
            transaction.announce_repair(version)
            return transaction.clear_parts(generation, [range(one, one + 1) for one in parts])

    def _check_counters(
        self, version: ObjectVersion, row: EntryRow, geometry: Geometry, parts: StoredParts
    ) -> None:
        ledger = PartLedger(geometry, parts)
        present = (ledger.present_count, ledger.present_bytes)
        if present == (row.parts_present, row.bytes_present):
            return
        text = (
            f"its row counts {counted(row.parts_present, 'part')}, its bitmap has"
            f" {ledger.present_count}"
        )
        is_repaired = False
        if self._repair:
            generation = Generation(row.row_id, geometry)
            with self._catalog.transaction() as transaction:
                is_repaired = transaction.recount(generation)
        self._found("counter", version.key, text, is_repaired)

    def _check_space(self, version: ObjectVersion, row_id: int, file: Storage) -> None:
        """Of a file that nobody else has open, unless its row has gone meanwhile."""
        (found,) = self._catalog.load([version])
        if found is None or found[0].row_id != row_id:
            return
        row, parts = found
        geometry = Geometry(version.size, row.part_size)
        absent = PartLedger(geometry, parts).missing(0, geometry.part_count)
        stray = [run for run in absent if _has_data(file, geometry, run)]
        if stray:
            for run in stray if self._repair else []:
                file.punch(run.start * row.part_size, len(run) * row.part_size)
            count = sum(map(len, stray))
            text = f"the file has bytes of {counted(count, 'part')} that should be absent"
            self._found("stray", version.key, text, self._repair)
        # The row may go at any moment: another process needs its space.
        stored, allocated = self._catalog.files([row_id]).get(row_id), file.allocated()
        if stored is not None and stored.allocated != allocated:
            text = f"{stored.allocated} bytes of the disk are counted, {allocated} are taken"
            if self._repair:
                with self._catalog.transaction() as transaction:
                    transaction.set_allocated(row_id, allocated)
            self._found("space", version.key, text, self._repair)

    def check_blobs(self) -> None:
        """Whether the small objects can be had at all: otherwise all of them are absent."""
        text, is_repaired = self._bench.damage, False
        if not text and self._bench.blobs.is_open:
            text = "; ".join(self._bench.blobs.integrity()[:1])
        if text and self._repair and not self._bench.owners:
            self._bench.begin_blobs()
            is_repaired = True
        if text:
            self._found("small", "", f"the small objects: {text}", is_repaired)

    def check_rubbish(self) -> None:
        """Bytes of small objects that no row names, which nobody can tell beside a living mount."""
        blobs = self._bench.blobs
        if self._bench.owners or not blobs.is_open:
            return
        for first in range(1, blobs.last_id() + 1, _IDS):
            ids = range(first, first + _IDS)
            rubbish = blobs.ids(ids) - self._catalog.blobs(ids)
            if rubbish and self._repair:
                blobs.delete(rubbish)
            if rubbish:
                text = f"the bytes of {counted(len(rubbish), 'small object')} belong to no object"
                self._found("orphan", "", text, self._repair)

    def check_total(self) -> None:
        """The sum of all counted space."""
        if self._catalog.allocated() == self._catalog.sum_allocated():
            return
        if self._repair:
            with self._catalog.transaction() as transaction:
                transaction.recount_total()
        text = "the counted space is not the sum of that of all objects"
        self._found("space", "", text, self._repair)

    def check_files(self) -> None:
        """Files that no row names; the order of the two questions makes this safe."""
        for files in self._bench.data.listing():
            stored = self._catalog.files({file.row_id for file in files})
            for file in files:
                if file.row_id not in stored or stored[file.row_id].suffix != file.suffix:
                    self._check_orphan(file)

    def _check_orphan(self, file: FoundFile) -> None:
        if self._repair:
            file.directory.unlink(file.name)
        path = file.directory.path / file.name
        self._found("orphan", "", f"the file {quoted(path)} belongs to no object", self._repair)

    def _found(self, kind: str, key: str, text: str, is_repaired: bool) -> None:
        self.report.problems.append(Problem(kind, key, text, is_repaired))


def _numbers(ledger: PartLedger, geometry: Geometry) -> list[int]:
    absent = PartBitmap(geometry.part_count)
    absent.update(ledger.missing(0, geometry.part_count))
    return [part for run in absent.missing(0, geometry.part_count) for part in run]


def _fault(file: Storage, geometry: Geometry, ledger: PartLedger, part: int) -> str:
    """What is wrong with the bytes of a part that is claimed to be present; empty if nothing."""
    start, stop = geometry.span(part)
    try:
        data = file.read(start, stop - start)
    except FileNotFoundError:
        return "the file is missing"
    except Gone:
        return "its bytes are missing"
    except (OSError, CacheError) as error:
        return f"cannot be read: {reason(error)}"
    if len(data) < stop - start:
        return "the file ends before it"
    if checksum([data]) == ledger.crc(part):
        return ""
    is_there = _has_data(file, geometry, range(part, part + 1))
    return "wrong CRC-64" if is_there else "nothing was written there"


def _has_data(file: Storage, geometry: Geometry, parts: range) -> bool:
    start, stop = geometry.bytes_of(parts.start, parts.stop)
    return any(begin < stop and start < end for begin, end in file.data_runs(start, stop))


def _listed(parts: list[int]) -> str:
    shown = ", ".join(map(str, parts[:5])) + (", ..." if len(parts) > 5 else "")
    return f"part {shown}" if len(parts) == 1 else f"{len(parts)} parts ({shown})"
