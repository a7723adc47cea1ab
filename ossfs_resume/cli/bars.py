"""Bars as a terminal shows them: one for all, and one for each file in flight."""

from rich.text import Text

from ossfs_resume.cli.lines import printable
from ossfs_resume.cli.progress import Meter, Reading
from ossfs_resume.cli.views import duration, obstacle
from ossfs_resume.quantities import format_size
from ossfs_resume.wording import counted

REUSED, FETCHED, MISSING = "blue", "green", "bright_black"
WIDEST_BAR = 60
WORDS = 52
"""What stands beside the bar is seldom longer, so that the bar keeps its width."""


def frame(reading: Reading, meter: Meter, width: int, height: int, encoding: str) -> Text:
    """All that is shown at one moment, on a terminal of so many columns and lines."""
    mark = "━" if encoding.lower().startswith("utf") else "="
    lines = [_overall(reading, meter, width, mark), _counts(reading)]
    if hint := obstacle(reading):
        lines.append(Text(printable(hint), "yellow"))
    room = max(height - len(lines) - 2, 0)
    lines += [_file(*one, width, mark) for one in reading.transferring[:room]]
    for one in lines:
        one.truncate(width)
    return Text("\n").join(lines)


def _overall(reading: Reading, meter: Meter, width: int, mark: str) -> Text:
    total = max(reading.total_bytes, reading.bytes, 1)
    percent = f"{100 * reading.bytes / total:5.1f}%" if reading.is_counted else "      "
    left_s = meter.left_s(reading)
    words = f" {percent} {format_size(reading.bytes)} of {format_size(reading.total_bytes)}"
    words += f"  {format_size(meter.rate)}/s"
    words += "" if left_s is None else f"  {duration(left_s)} left"
    room = max(min(width - max(len(words), WORDS), WIDEST_BAR), 10)
    return Text.assemble(
        bar(room, mark, reading.reused_bytes / total, reading.bytes / total), words
    )


def _counts(reading: Reading) -> Text:
    if not reading.files and not reading.is_counted:
        return Text("counting files")
    more = "" if reading.is_counted else " or more"
    text = Text(f"{reading.files_done} of {counted(reading.files, 'file', more)}")
    if reading.reused_bytes:
        text.append(f", {format_size(reading.reused_bytes)} were here", REUSED)
    if reading.failed:
        text.append(f", {reading.failed} failed", "red")
    return text


def _file(key: str, here: int, size: int, width: int, mark: str) -> Text:
    tail = f" {format_size(here):>8} of {format_size(size):>8}"
    room = max(width - 20 - len(tail) - 4, 10)
    name = Text(printable(key))
    if name.cell_len > room:
        name = Text("…" if mark != "=" else "~") + name[-(room - 1) :]
    name.pad_right(max(room - name.cell_len, 0))
    return Text.assemble("  ", name, " ", bar(20, mark, 0, here / max(size, 1)), tail)


def bar(width: int, mark: str, reused: float, present: float) -> Text:
    """``width`` cells: what was here before, what has come, what is missing, each in its colour."""
    old = round(min(reused, 1) * width)
    new = max(round(min(present, 1) * width), old)
    return Text.assemble(
        (mark * old, REUSED),
        (mark * (new - old), FETCHED),
        (("-" if mark == "=" else mark) * (width - new), MISSING),
    )
