"""What ``status`` says of a file, a directory or a mount, in lines. Pure."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import click

from ossfs_resume.cli.lines import printable
from ossfs_resume.cli.progress import OVER, added_up
from ossfs_resume.cli.views import amounts, duration, obstacle
from ossfs_resume.quantities import format_size
from ossfs_resume.wording import counted

Facts = Mapping[str, Any]

COLOURS = {"#": "green", "+": "cyan", ">": "yellow", ":": "magenta", ".": "bright_black"}
"""Of the marks of `control.part_map`: all here, partly, being fetched, to be fetched, absent."""

STATES = {
    "verified": "green", "complete": "green", "fetching": "yellow", "queued": "yellow",
    "paused": "magenta", "failed": "red",
}  # fmt: skip

USUAL_READ_AHEAD_KIB = 512
FEW_IN_BACKGROUND = 64


def text_of(document: Facts, width: int, map_width: int) -> list[str]:
    """What is known of one path, on lines of at most ``width`` columns, its part map on one of at
    most ``map_width``."""
    if "error" in document:
        return [_warning(document["error"], width)]
    lines = {"mount": _mount, "directory": _directory, "file": _file}[document["kind"]](document)
    error = _error(document)
    drawn = squeezed(document.get("map", ""), max(map_width - 2, 1))
    return [
        *_cut(lines, width),
        *(["  " + coloured(drawn)] if drawn else []),
        *([_warning(f"  {error}", width)] if error else []),
    ]


def _error(document: Facts) -> str | None:
    """What a mount says of its cache is not said twice."""
    error = (document.get("status") or {}).get("error")
    cache = document.get("stats", {}).get("cache", {})
    return None if error == cache.get("error") else error


def squeezed(drawn: str, width: int) -> str:
    """A part map in at most ``width`` cells: what is under way shows through."""
    count = min(len(drawn), width)
    cells: list[str] = []
    for cell in range(count):
        marks = set(drawn[cell * len(drawn) // count : (cell + 1) * len(drawn) // count])
        if len(marks) == 1:
            cells += marks
        else:
            cells.append(next((mark for mark in ">:" if mark in marks), "+"))
    return "".join(cells)


def coloured(drawn: str) -> str:
    """A part map in colours."""
    runs = ((mark, len(list(run))) for mark, run in groupby(drawn))
    return "".join(click.style(mark * count, fg=COLOURS.get(mark)) for mark, count in runs)


# --- what each kind says ---


def _file(document: Facts) -> Iterator[str]:
    status = document["status"]
    yield document["path"]
    if status is None:
        return
    parts = f"{status['parts_present']} of {counted(status['parts'], 'part')}"
    size = f"{format_size(status['bytes_present'])} of {format_size(status['size'])}"
    pinned = ", pinned" * status["pinned"]
    yield f"  {status['state']}: {size} here, {parts}{pinned}"
    yield from _job(document["job"])


def _directory(document: Facts) -> Iterator[str]:
    status = document["status"]
    yield document["path"]
    if status is None:
        return
    yield f"  {status['state']}: {_cached_below(status)}"
    yield from _job(document["job"])
    if jobs := _jobs(status["jobs"]):
        yield f"  jobs below: {jobs}"


def _cached_below(status: Facts) -> str:
    """The bucket is not listed: what nobody has touched is not counted."""
    if not status["objects"]:
        return "nothing is cached"
    size = f"{format_size(status['bytes_present'])} of {format_size(status['size'])}"
    pinned = f", {status['pinned']} pinned" if status["pinned"] else ""
    known = counted(status["objects"], "known file")
    return f"{size} here, {status['complete']} of {known} complete{pinned}"


def _mount(document: Facts) -> Iterator[str]:
    stats, status = document["stats"], document["status"]
    yield f"{document['source']} on {document['path']}: {_origin(stats)}"
    fetch, origin, cache = stats["fetch"], stats["origin"], stats["cache"]
    rate = (fetch["bytes_per_second"] or 0) if fetch["running"] else 0
    received = format_size(fetch["bytes_received"])
    yield f"  traffic   {format_size(rate)}/s, {received} received, {_requests(origin, fetch)}"
    limit = cache.get("limit_bytes")
    used = format_size(cache["allocated_bytes"]) + (f" of {format_size(limit)}" if limit else "")
    yield f"  cache     {used} in {cache.get('directory', '')}"
    if cache["error"]:
        yield f"  cache     not used: {cache['error']}"
    if status is not None:
        yield f"  files     {_cached_below(status)}"
    yield f"  jobs      {_jobs(stats.get('jobs') or {}) or 'none'}"
    yield from (f"  {line.strip()}" for line in _job(document["job"]))
    yield f"  kernel    {_kernel(stats['kernel'] or {})}"


def _origin(stats: Facts) -> str:
    if stats.get("offline"):
        return "offline"
    if seconds := stats["origin"].get("down_s"):
        return f"the origin has not answered for {duration(seconds)}; what is cached is served"
    return "up"


def _requests(origin: Facts, fetch: Facts) -> str:
    kinds = ("list_requests", "head_requests", "link_requests", "range_requests")
    text = counted(sum(origin.get(kind, 0) for kind in kinds), "request")
    text += f" ({fetch['running']} running, {fetch['queued']} queued)"
    for name, word in (("errors", "failed"), ("throttled", "slowed down")):
        if origin.get(name):
            text += f", {origin[name]} {word}"
    return text


def _jobs(counts: Facts) -> str:
    words = (("running", "running"), ("queued", "queued"), ("paused", "paused"))
    text = [f"{counts[name]} {word}" for name, word in words if counts.get(name)]
    if counts.get("failed"):
        text.append(f"{counted(counts['failed'], 'file')} failed of late")
    return ", ".join(text)


def _job(report: Facts | None) -> Iterator[str]:
    if report is None:
        return
    if report["state"] in OVER:
        failed = f", {report['failed']} of {counted(report['objects'], 'file')} failed"
        yield f"  last job: {report['state']}{failed * bool(report['failed'])}"
        for key, why in report["failures"]:
            yield f"    {key}: {why}"
    else:
        reading = added_up([report])
        is_counting = not (reading.files or reading.is_counted)
        count = "" if reading.paused and is_counting else amounts(reading)
        hint = "" if reading.paused else obstacle(reading)
        yield f"  job: {', '.join(filter(None, (report['state'], count, hint)))}"


def _kernel(kernel: Facts) -> str:
    background, ahead = kernel.get("max_background"), kernel.get("read_ahead_kib")
    text = [
        f"read-ahead {ahead} KiB" if ahead else "read-ahead unknown",
        f"{background} requests in the background" if background else "few requests at once",
    ]
    if (ahead or 0) < USUAL_READ_AHEAD_KIB or (background or 0) < FEW_IN_BACKGROUND:
        text.append("only root may raise these limits")
    return ", ".join([*text, *kernel.get("warnings", ())])


# --- lines ---


def _cut(lines: Iterator[str] | list[str], width: int) -> Iterator[str]:
    for line in lines:
        text = printable(line)
        text = text if len(text) <= width else text[: width - 1] + "…"
        state, colon, rest = text.strip().partition(":")
        if colon and text.startswith("  ") and state in STATES:
            text = f"  {click.style(state, fg=STATES[state])}:{rest}"
        yield text


def _warning(text: str, width: int) -> str:
    return click.style(printable(text)[: max(width, 20)], fg="red")
