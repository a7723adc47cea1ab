"""``ossfs-resume cache``: look after a cache directory, mounted or not."""

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import click

from ossfs_resume.cache.check import Report, check_store
from ossfs_resume.cli import cache_tables as tables
from ossfs_resume.cli import stores
from ossfs_resume.cli.help import Commands
from ossfs_resume.cli.lines import printable
from ossfs_resume.cli.outcome import Exit
from ossfs_resume.cli.stores import REPAIR, Removed, Selection
from ossfs_resume.errors import CacheError
from ossfs_resume.quantities import format_size
from ossfs_resume.wording import counted, quoted

Command = Callable[..., int]

_SHARED = (
    click.option("--cache-dir", metavar="DIR", help="The cache directory; default: as for mount."),
    click.option("--config", metavar="FILE", envvar="OSSFS_CONFIG", hidden=True),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
)


@click.group(cls=Commands)
def cache() -> None:
    """List, check and clear the cache directory, whether or not anything is mounted.

    PATH is an object, or a directory with all below it; without an address the commands work on all
    buckets. If two buckets have the same name, oss://BUCKET@ENDPOINT/PATH says which one, as the
    commands print it. Exit status 1: nothing was found, something is damaged, or something that
    should be removed is left.
    """


def _command(function: Command, address: str = "[oss://BUCKET[/PATH]]") -> Command:
    for option in reversed(_SHARED):
        function = option(function)
    function = click.argument("source", required=False, metavar=address)(function)
    return cache.command(name=function.__name__.rstrip("_"))(function)


@_command
@click.option(
    "--partial", "is_partial", is_flag=True, help="Only objects of which parts are missing."
)
@click.option("--pinned", "is_pinned", is_flag=True, help="Only objects that are pinned.")
@click.option(
    "--sort", type=click.Choice(tables.ORDERS), default="key", show_default=True,
    help="By size: the largest first; by use: the latest first.",
)  # fmt: skip
def list_(
    source: str | None,
    cache_dir: str | None,
    config: str | None,
    as_json: bool,
    is_partial: bool,
    is_pinned: bool,
    sort: str,
) -> int:
    """List the objects that have bytes in the cache, and unfinished jobs."""
    selection = stores.select(source, cache_dir, config)
    listing = tables.Listing(selection, is_partial=is_partial, is_pinned=is_pinned, order=sort)
    if as_json:
        _print_json(selection, objects=[row.document for row in listing.rows()], jobs=listing.jobs)
    else:
        listing.print()
    selection.require(listing.found)
    return _status(selection)


@_command
def stat(source: str | None, cache_dir: str | None, config: str | None, as_json: bool) -> int:
    """Show how much space each bucket, or a path of it, takes."""
    selection = stores.select(source, cache_dir, config)
    found = list(selection.each(partial(tables.statistics, selection)))
    selection.require(any(one.objects or one.jobs for one in found))
    if as_json:
        _print_json(selection, buckets=[asdict(one) for one in found])
    else:
        tables.print_statistics(found)
    return _status(selection)


@_command
@click.option("--repair", is_flag=True, help="Remove what is damaged; it is fetched again.")
def check(
    source: str | None, cache_dir: str | None, config: str | None, as_json: bool, repair: bool
) -> int:
    """Compare catalogue, bitmaps, files and checksums. Exit status 1 if anything is wrong.

    With a PATH only what is cached of it is checked, not the rest of the catalogue.
    """
    selection = stores.select(source, cache_dir, config)
    reports: dict[str, Report] = {}
    for identity in selection.identities:
        try:
            report = check_store(
                selection.directory, identity, repair=repair, paths=selection.paths
            )
        except CacheError as error:
            selection.failed(identity, error)
            continue
        reports[identity] = report
        if not as_json:
            _print_report(selection, identity, report, is_repairing=repair)
    selection.require(any(one.entries or one.problems for one in reports.values()))
    if as_json:
        documents = [
            {"bucket": selection.name(identity), "identity": identity, **asdict(report)}
            for identity, report in reports.items()
        ]
        _print_json(selection, buckets=documents)
    elif not repair:
        _print_advice(reports.values())
    is_good = all(report.is_good for report in reports.values())
    return _status(selection) if is_good else Exit.FAILURE


@partial(_command, address="oss://BUCKET[/PATH]")
def evict(source: str | None, cache_dir: str | None, config: str | None, as_json: bool) -> int:
    """Remove what is cached of a bucket, an object, or all below a path.

    What is open or pinned is left, and the exit status is 1.
    """
    if source is None:
        raise click.UsageError("say what to evict: oss://BUCKET[/PATH]; or use clear")
    selection = stores.select(source, cache_dir, config)
    removed = list(selection.each(lambda bench: [stores.evict(selection, bench)]))
    return _print_removed(selection, removed, as_json=as_json)


@_command
def clear(source: str | None, cache_dir: str | None, config: str | None, as_json: bool) -> int:
    """Remove what is cached of a bucket, an object, or all below a path, with its pins and jobs.

    Without an address: of all buckets. What is open is left, and the exit status is 1.
    """
    selection = stores.select(source, cache_dir, config)
    removed = [] if selection.path else stores.clear_unused(selection)
    removed += selection.each(lambda bench: [stores.clear(selection, bench)])
    return _print_removed(selection, removed, as_json=as_json)


# --- what they say ---


def _status(selection: Selection) -> Exit:
    return Exit.FAILURE if selection.errors else Exit.SUCCESS


def _print_json(selection: Selection, **content: Any) -> None:
    errors = [{"bucket": name, "error": text} for name, text in selection.errors]
    click.echo(json.dumps(content | {"errors": errors}, indent=1))


def _print_removed(selection: Selection, removed: list[Removed], *, as_json: bool) -> Exit:
    selection.require(sum(one.found for one in removed))
    if as_json:
        _print_json(selection, buckets=[asdict(one) for one in removed])
    for one in () if as_json else removed:
        click.echo(str(one))
    return Exit.FAILURE if any(one.stay for one in removed) else _status(selection)


def _print_report(
    selection: Selection, identity: str, report: Report, *, is_repairing: bool
) -> None:
    for problem in report.problems:
        text = printable(problem.text) + " (repaired)" * problem.is_repaired
        if problem.kind == "catalogue" and not is_repairing:
            text += f"; {REPAIR}"
        click.echo(f"{quoted(selection.name(identity, problem.key))}: {text}")
    click.echo(
        f"{quoted(selection.name(identity))}: {counted(report.entries, 'object')},"
        f" {counted(report.parts, 'part')}, {format_size(report.bytes)} compared;"
        f" {counted(len(report.problems), 'problem')}"
    )


def _print_advice(reports: Any) -> None:
    problems = [problem for report in reports for problem in report.problems]
    damaged = {problem.key for problem in problems if problem.kind == "part"}
    others = sum(problem.kind not in ("part", "catalogue") for problem in problems)
    if damaged:
        what, it = counted(len(damaged), "object"), "it" if len(damaged) == 1 else "them"
        click.echo(f"{what} damaged; run again with --repair to fetch {it} anew")
    elif others:
        click.echo(f"run again with --repair to clear {'it' if others == 1 else 'them'}")
