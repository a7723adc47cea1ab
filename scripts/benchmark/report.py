"""Medians as Markdown, JSON and a picture."""

import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from scenarios import Result

Table = dict[str, dict[str, dict[str, float]]]
"""What was measured, of whom, its figures by name."""

OURS = "ossfs-resume"


def medians(results: Sequence[Result]) -> Table:
    """The median of each figure over all rounds."""
    collected: dict[str, dict[str, dict[str, list[float]]]] = {}
    for result in results:
        figures = collected.setdefault(result.what, {}).setdefault(result.peer, {})
        for name, value in result.figures.items():
            figures.setdefault(name, []).append(value)
    return {
        what: {
            peer: {name: statistics.median(values) for name, values in figures.items()}
            for peer, figures in peers.items()
        }
        for what, peers in collected.items()
    }


def machine() -> str:
    """What it was measured on, and when."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()},"
        f" Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}"
    )


def as_markdown(table: Table, notes: Sequence[str]) -> str:
    """A table for each thing that was measured; ``ratio`` is the time of each to ours."""
    lines = [f"Medians, measured on {machine()}.", "", *(f"- {note}" for note in notes), ""]
    for what, peers in table.items():
        names = list(dict.fromkeys(name for figures in peers.values() for name in figures))
        ours = peers.get(OURS, {}).get("s")
        lines += [f"**{what}**", "", f"| | {' | '.join(names)} | time to ours |"]
        lines.append("|---" * (len(names) + 2) + "|")
        for peer, figures in peers.items():
            cells = [
                f"{figures[name]:.{_digits(name)}f}" if name in figures else "" for name in names
            ]
            ratio = f"{figures['s'] / ours:.2f}" if ours else ""
            lines.append(f"| {peer} | {' | '.join(cells)} | {ratio} |")
        lines.append("")
    return "\n".join(lines)


def _digits(name: str) -> int:
    return 2 if name in ("s", "CPU s") else 0


def draw(table: Table, path: Path) -> None:
    """The time of everybody in every scenario, as bars, shorter is better."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    shown = [what for what, peers in table.items() if OURS in peers]
    columns = 3
    rows = -(-len(shown) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(12, 1.9 * rows), squeeze=False)
    for axis in axes.flat[len(shown) :]:
        axis.axis("off")
    for axis, what in zip(axes.flat, shown, strict=False):
        bars = sorted(
            ((peer, figures["s"]) for peer, figures in table[what].items() if "s" in figures),
            key=lambda bar: -bar[1],
        )
        names, seconds = [name for name, _ in bars], [value for _, value in bars]
        colours = ["#d9480f" if name == OURS else "#adb5bd" for name in names]
        drawn = axis.barh(names, seconds, color=colours)
        axis.bar_label(drawn, fmt="%.2f s", padding=3, fontsize=8)
        axis.set_title(what, fontsize=9, loc="left")
        axis.tick_params(labelsize=8)
        axis.margins(x=0.2)
        axis.xaxis.set_visible(False)
        axis.spines[["top", "right", "bottom"]].set_visible(False)
    figure.suptitle(f"Shorter is better. {machine()}", fontsize=9, x=0.01, ha="left")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def write(results: Sequence[Result], notes: Sequence[str], folder: Path) -> str:
    """Write ``bench.md``, ``bench.json`` and ``bench.png``; returns the Markdown."""
    table = medians(results)
    text = as_markdown(table, notes)
    (folder / "bench.md").write_text(text)
    document = {"machine": machine(), "notes": list(notes), "medians": table}
    (folder / "bench.json").write_text(json.dumps(document, indent=1))
    draw(table, folder / "bench.png")
    return text
