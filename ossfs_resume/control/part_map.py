"""Which parts of an object are here, drawn as one line of text.

A cell stands for one part, or for a run of parts where there are more than cells.
"""

from collections.abc import Iterable

CELLS = 512

PRESENT, PARTLY, ABSENT, FETCHING, QUEUED = "#+.>:"


def drawn(
    part_count: int,
    missing: Iterable[range],
    fetching: Iterable[int] = (),
    queued: Iterable[int] = (),
) -> str:
    """At most ``CELLS`` characters: all here, some of it here, nothing here; something of it is
    being fetched, or will be."""
    count = min(part_count, CELLS)
    absent = [0] * count
    for run in missing:
        first, last = (part * count // part_count for part in (run.start, run.stop - 1))
        for cell in range(first, last + 1):
            absent[cell] += len(_within(run, cell, count, part_count))
    cells = [_cell(gone, len(_parts(cell, count, part_count))) for cell, gone in enumerate(absent)]
    for parts, mark in ((queued, QUEUED), (fetching, FETCHING)):
        for part in parts:
            cells[part * count // part_count] = mark
    return "".join(cells)


def _cell(absent: int, parts: int) -> str:
    if not absent:
        return PRESENT
    return ABSENT if absent == parts else PARTLY


def _parts(cell: int, count: int, part_count: int) -> range:
    """The parts of which ``part * count // part_count`` is the cell."""
    return range(-(-cell * part_count // count), -(-(cell + 1) * part_count // count))


def _within(run: range, cell: int, count: int, part_count: int) -> range:
    parts = _parts(cell, count, part_count)
    return range(max(run.start, parts.start), min(run.stop, parts.stop))
