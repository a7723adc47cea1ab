"""``ossfs-resume cache``: look after a cache directory, mounted or not."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from ossfs_resume.cache import workbench
from ossfs_resume.cache.check import check_store
from ossfs_resume.cache.eviction import Rank
from ossfs_resume.cache.records import EntryRecord
from ossfs_resume.cache.workbench import Workbench
from ossfs_resume.cli import stores
from ossfs_resume.cli.lines import printable
from ossfs_resume.cli.outcome import Exit
from ossfs_resume.quantities import format_size

Command = Callable[..., int]

_SHARED = (
    click.argument("source", required=False, metavar="[oss://BUCKET[/PATH]]"),
    click.option("--cache-dir", metavar="DIR", help="The cache directory; default: as for mount."),
    click.option("--config", metavar="FILE", envvar="OSSFS_CONFIG", hidden=True),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
)


@click.group()
def cache() -> None:
    """Look after the cache directory, whether or not anything is mounted."""


def _command(function: Command) -> Command:
    for option in reversed(_SHARED):
        function = option(function)
    return cache.command(name=function.__name__.rstrip("_"))(function)


@_command
def list_(source: str | None, cache_dir: str | None, config: str | None, as_json: bool) -> int:
    """List the objects that have bytes in the cache."""
    path = stores.path_in(source)
    rows = (
        (bench.identity, record)
        for bench in stores.benches(source, cache_dir, config)
        for record in stores.below(bench, path)
    )
    if as_json:
        click.echo(json.dumps([_described(*row) for row in rows], indent=1))
    else:
        _print_records(rows)
    return Exit.SUCCESS


@_command
def stat(source: str | None, cache_dir: str | None, config: str | None, as_json: bool) -> int:
    """Say how much each bucket takes."""
    found = [_statistics(bench) for bench in stores.benches(source, cache_dir, config)]
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return Exit.SUCCESS
    columns = ("allocated", "objects", "complete", "pinned", "mounts", "bucket")
    rows = [
        (format_size(one["allocated_bytes"]), one["objects"], one["complete"],
         format_size(one["pinned_bytes"]), one["mounts"], one["identity"])
        for one in found
    ]  # fmt: skip
    _print_table(columns, rows)
    return Exit.SUCCESS


@_command
@click.option("--repair", is_flag=True, help="Clear what is not true; it is fetched again.")
def check(
    source: str | None, cache_dir: str | None, config: str | None, as_json: bool, repair: bool
) -> int:
    """Compare catalogue, bitmaps, files and checksums. Exit status 1 if anything is wrong."""
    directory, reports = stores.cache_directory(cache_dir, config), {}
    for identity in stores.identities(directory, source):
        reports[identity] = report = check_store(directory, identity, repair=repair)
        if as_json:
            continue
        for problem in report.problems:
            text = _shown(problem.key) + problem.text + " (repaired)" * problem.is_repaired
            click.echo(f"{identity}: {problem.kind}: {text}")
        click.echo(
            f"{identity}: {report.entries} objects, {report.parts} parts,"
            f" {format_size(report.bytes)} compared; {len(report.problems)} problems"
        )
    if as_json:
        click.echo(json.dumps({name: asdict(report) for name, report in reports.items()}, indent=1))
    is_good = all(report.is_good for report in reports.values())
    return Exit.SUCCESS if is_good else Exit.FAILURE


@_command
def evict(source: str | None, cache_dir: str | None, config: str | None, as_json: bool) -> int:
    """Remove what is cached of a bucket, a key, or all below a path; not what is open or pinned."""
    if source is None:
        raise click.UsageError("say what to evict: oss://BUCKET[/PATH]; or use clear")
    path, counts = stores.path_in(source), {}
    for bench in stores.benches(source, cache_dir, config):
        counts[bench.identity] = stores.evict(bench, path)
    _print_counts(counts, "objects evicted", as_json=as_json)
    return Exit.SUCCESS


@_command
def clear(source: str | None, cache_dir: str | None, config: str | None, as_json: bool) -> int:
    """Remove everything, pins and jobs too; if it is mounted, what is neither open nor pinned."""
    directory, counts = stores.cache_directory(cache_dir, config), {}
    for identity in stores.identities(directory, source):
        objects = stores.count(directory, identity)
        if not workbench.clear(directory, identity):
            with workbench.opened(directory, identity) as bench:
                objects = stores.evict(bench, "")
        counts[identity] = objects
    _print_counts(counts, "objects removed", as_json=as_json)
    return Exit.SUCCESS


# --- what they say ---


def _state(record: EntryRecord) -> str:
    if record.row.bytes_present < record.version.size:
        return "partial"
    return "verified" if record.row.is_verified else "complete"


def _described(identity: str, record: EntryRecord) -> dict[str, Any]:
    return {
        "bucket": identity,
        "key": record.version.key.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
        "etag": record.version.etag,
        "size": record.version.size,
        "bytes_present": record.row.bytes_present,
        "allocated": record.allocated,
        "state": _state(record),
        "pinned": record.is_pinned,
        "superseded": record.rank == Rank.SUPERSEDED,
        "last_used": _time(record.last_used),
    }


def _statistics(bench: Workbench) -> dict[str, Any]:
    records = list(stores.below(bench, ""))
    return {
        "identity": bench.identity,
        "allocated_bytes": bench.catalog.allocated(),
        "objects": len(records),
        "complete": sum(one.row.bytes_present == one.version.size for one in records),
        "pinned_bytes": bench.catalog.pinned_bytes(),
        "jobs": len(bench.catalog.jobs()),
        "mounts": bench.owners,
    }


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000).isoformat(" ", "seconds")


def _shown(key: str) -> str:
    return f"{printable(key)}: " if key else ""


def _print_records(rows: Iterator[tuple[str, EntryRecord]]) -> None:
    columns = ("cached", "size", "state", "", "last used", "key")
    _print_table(
        columns,
        (
            (format_size(record.row.bytes_present), format_size(record.version.size),
             _state(record), "pinned" if record.is_pinned else "", _time(record.last_used),
             f"{identity}/{printable(record.version.key)}")
            for identity, record in rows
        ),
    )  # fmt: skip


def _print_table(columns: Sequence[str], rows: Any) -> None:
    """Columns under headings on a terminal, otherwise a line of tab-separated fields for each."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(map(str, row)))
        return
    table = [tuple(map(str, row)) for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        click.echo("  ".join(map(str.ljust, row, widths)).rstrip())


def _print_counts(counts: dict[str, int], what: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(counts, indent=1))
    else:
        for identity, count in counts.items():
            click.echo(f"{identity}: {count} {what}")
