"""What ``cache list`` and ``cache stat`` show, as rows for people and as documents for programs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import click

from ossfs_resume.cache.eviction import Rank
from ossfs_resume.cache.models import EntryRecord
from ossfs_resume.cache.workbench import Workbench
from ossfs_resume.cli import stores
from ossfs_resume.cli.stores import Selection
from ossfs_resume.cli.terminal import output_encoding
from ossfs_resume.quantities import format_size
from ossfs_resume.wording import counted, quoted

ORDERS = ("key", "size", "used")


@dataclass(frozen=True, slots=True)
class Row:
    """One object version."""

    address: str
    identity: str
    record: EntryRecord

    @property
    def state(self) -> str:
        """``partial``, ``complete`` or ``verified``."""
        if self.record.row.bytes_present < self.record.version.size:
            return "partial"
        return "verified" if self.record.row.is_verified else "complete"

    @property
    def document(self) -> dict[str, Any]:
        """For programs."""
        record = self.record
        return {
            "address": self.address,
            "identity": self.identity,
            "key": readable(record.version.key),
            "etag": record.version.etag,
            "size": record.version.size,
            "bytes_present": record.row.bytes_present,
            "allocated": record.allocated,
            "state": self.state,
            "pinned": record.is_pinned,
            "superseded": record.rank == Rank.SUPERSEDED,
            "last_used": _time(record.last_used),
        }

    def __str__(self) -> str:
        record = self.record
        return _LINE.format(
            format_size(record.row.bytes_present),
            format_size(record.version.size),
            self.state,
            "pinned" if record.is_pinned else "-",
            _time(record.last_used),
            quoted(self.address, output_encoding()),
        )


# Of fixed widths, so that a million rows are printed as they come.
_LINE = "{:>9}  {:>9}  {:<8}  {:<6}  {:<20}  {}"
_HEADINGS = _LINE.format("CACHED", "SIZE", "STATE", "PINNED", "LAST USED", "ADDRESS")


class Listing:
    """Rows as they are found, unless another order than that of the keys is wanted. What was
    ``found``, the ``jobs`` and the sums are known when all rows have been taken."""

    def __init__(
        self, selection: Selection, *, is_partial: bool, is_pinned: bool, order: str
    ) -> None:
        self._selection = selection
        self._is_partial = is_partial
        self._is_pinned = is_pinned
        self._order = order
        self.jobs: list[str] = []
        self.found = 0
        self._bytes_present = self._bytes = self._shown = 0

    def rows(self) -> Iterator[Row]:
        """What is wanted, in the order that is wanted."""
        if self._order == "size":
            yield from sorted(self._wanted(), key=lambda row: -row.record.row.bytes_present)
        elif self._order == "used":
            yield from sorted(self._wanted(), key=lambda row: -row.record.last_used)
        else:
            yield from self._wanted()

    def print(self) -> None:
        """A table, its sums, and the jobs."""
        click.echo(_HEADINGS)
        for row in self.rows():
            click.echo(str(row))
        sums = f"{format_size(self._bytes_present)} of {format_size(self._bytes)}"
        click.echo(f"{counted(self._shown, 'object')}, {sums} cached")
        for job in self.jobs:
            click.echo(f"to be fetched: {quoted(job)}")

    def _wanted(self) -> Iterator[Row]:
        return filter(self._is_wanted, self._selection.each(self._rows_of))

    def _rows_of(self, bench: Workbench) -> Iterator[Row]:
        name, identity = self._selection.name, bench.identity
        jobs = stores.jobs(bench, self._selection.paths)
        self.jobs += [name(identity, job) for job in jobs]
        self.found += len(jobs)
        for record in stores.records(bench, self._selection.paths):
            self.found += 1
            yield Row(name(identity, record.version.key), identity, record)

    def _is_wanted(self, row: Row) -> bool:
        is_wanted = (row.state == "partial" or not self._is_partial) and (
            row.record.is_pinned or not self._is_pinned
        )
        if is_wanted:
            self._shown += 1
            self._bytes += row.record.version.size
            self._bytes_present += row.record.row.bytes_present
        return is_wanted


@dataclass(frozen=True, slots=True)
class Statistics:
    """How much a bucket, or a part of it, takes."""

    bucket: str
    identity: str
    allocated_bytes: int
    objects: int
    complete: int
    pinned_bytes: int
    jobs: int
    mounts: int


def statistics(selection: Selection, bench: Workbench) -> Iterator[Statistics]:
    """Of what is meant of one store. Raises CacheError."""
    sums = stores.totals(bench, selection.paths)
    yield Statistics(
        selection.name(bench.identity, selection.path),
        bench.identity,
        sums.allocated,
        sums.objects,
        sums.complete,
        sum(map(bench.catalog.pinned_bytes, selection.paths)),
        len(stores.jobs(bench, selection.paths)),
        bench.owners,
    )


def print_statistics(found: Sequence[Statistics]) -> None:
    """A table, with a line for all if there are several."""
    line = "{:>9}  {:>8}  {:>8}  {:>9}  {:>5}  {:>6}  {}"
    headings = ("ON DISK", "OBJECTS", "COMPLETE", "PINNED", "JOBS", "MOUNTS", "BUCKET")
    click.echo(line.format(*headings))
    for one in [*found, _sum(found)] if len(found) > 1 else found:
        click.echo(
            line.format(
                format_size(one.allocated_bytes), one.objects, one.complete,
                format_size(one.pinned_bytes), one.jobs, one.mounts, quoted(one.bucket),
            )
        )  # fmt: skip


def _sum(found: Sequence[Statistics]) -> Statistics:
    numbers = [one.name for one in fields(Statistics)][2:]
    return Statistics("all", "", *(sum(getattr(one, name) for one in found) for name in numbers))


def readable(key: str) -> str:
    """A key as JSON can hold it."""
    return key.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
