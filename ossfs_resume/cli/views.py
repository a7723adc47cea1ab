"""What a waiting command shows: bars on a terminal, lines elsewhere, JSON for programs, or nothing.

The names in the JSON are rclone's (``core/stats``), so that what reads those reads these.
"""

import json
import sys
from typing import TYPE_CHECKING, Protocol

import click

from ossfs_resume.cli.lines import printable
from ossfs_resume.cli.progress import Meter, Reading
from ossfs_resume.quantities import format_size
from ossfs_resume.wording import counted

if TYPE_CHECKING:
    from rich.live import Live

OUTPUTS = ("auto", "human", "json", "quiet")

LINE_S = 5.0
"""How often a line is printed where there is no terminal."""

JSON_S = 1.0


class View(Protocol):
    """Shows readings, until it is closed, and how it ended."""

    def show(self, reading: Reading, meter: Meter, seconds: float) -> None:
        """``seconds`` have passed since the beginning."""

    def close(self) -> None:
        """Give the terminal back; what is shown after that begins anew."""

    def end(self, reading: Reading, meter: Meter, seconds: float) -> None:
        """All is over."""

    def interrupted(self, text: str) -> None:
        """The user does not want to wait any longer."""


def view_for(output: str) -> View:
    """The view that ``--output`` names."""
    if output == "json":
        return JsonLines()
    if output == "quiet":
        return Quiet()
    return Bars() if sys.stdout.isatty() else Lines()


class Quiet:
    """Shows failures, on stderr."""

    def show(self, reading: Reading, meter: Meter, seconds: float) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing is shown."""

    def end(self, reading: Reading, meter: Meter, seconds: float) -> None:
        """Name what failed, and why."""
        for key, why in reading.failures:
            click.echo(f"ossfs-resume: {printable(failure(key, why))}", err=True)
        if unnamed := reading.failed - len(reading.failures):
            click.echo(f"ossfs-resume: {counted(unnamed, 'more file')} failed", err=True)

    def interrupted(self, text: str) -> None:
        """One line on stderr."""
        click.echo(f"ossfs-resume: {printable(text)}", err=True)


class Lines(Quiet):
    """A line every few seconds, and a last one."""

    def __init__(self) -> None:
        self._next_s = LINE_S

    def show(self, reading: Reading, meter: Meter, seconds: float) -> None:
        """A line, if it is time for one."""
        if seconds >= self._next_s:
            self._next_s = seconds + LINE_S
            click.echo(printable(line(reading, meter)))

    def end(self, reading: Reading, meter: Meter, seconds: float) -> None:
        """What failed, and what was reused."""
        super().end(reading, meter, seconds)
        click.echo(summary(reading, seconds))


class Bars(Lines):
    """A bar for all of it and one for each file in flight, where they can be drawn."""

    def __init__(self) -> None:
        super().__init__()
        self._live: Live | None = None

    def show(self, reading: Reading, meter: Meter, seconds: float) -> None:
        """Draw."""
        from rich.console import Console
        from rich.live import Live

        from ossfs_resume.cli.bars import frame

        if self._live is None:
            self._live = Live(console=Console(), auto_refresh=False, transient=True)
            self._live.start()
        console = self._live.console
        self._live.update(frame(reading, meter, *console.size, console.encoding), refresh=True)

    def close(self) -> None:
        """Take the bars away."""
        if self._live is not None:
            self._live.stop()
            self._live = None


class JsonLines(Quiet):
    """A document a line, every second, and a last one with ``"finished": true``."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def show(self, reading: Reading, meter: Meter, seconds: float) -> None:
        """A document, if it is time for one."""
        if seconds >= self._next_s:
            self._next_s = seconds + JSON_S
            print(json.dumps(document(reading, meter, seconds)), flush=True)

    def end(self, reading: Reading, meter: Meter, seconds: float) -> None:
        """The last document."""
        failures = [{"name": key, "error": why} for key, why in reading.failures]
        whole = document(reading, meter, seconds) | {"finished": True, "failures": failures}
        print(json.dumps(whole), flush=True)


# --- the words ---


def document(reading: Reading, meter: Meter, seconds: float) -> dict[str, object]:
    """One reading, for programs."""
    left_s = meter.left_s(reading)
    why = [why for _, why in reading.failures[-1:]] or [reading.error]
    return {
        "bytes": reading.bytes,
        "totalBytes": reading.total_bytes,
        "reusedBytes": reading.reused_bytes,
        "isCounted": reading.is_counted,
        "transfers": reading.files_done,
        "totalTransfers": reading.files,
        "speed": meter.rate,
        "eta": None if left_s is None else round(left_s),
        "elapsedTime": round(seconds, 3),
        "transferring": [
            {"name": key, "bytes": here, "size": size} for key, here, size in reading.transferring
        ],
        "errors": reading.failed,
        "lastError": why[0] or None,
        "paused": reading.paused,
        "cancelled": reading.cancelled,
        "finished": False,
    }


def line(reading: Reading, meter: Meter) -> str:
    """One reading on one line."""
    text = [amounts(reading)]
    if reading.files:
        text.append(f"{format_size(meter.rate)}/s")
    left_s = meter.left_s(reading)
    if left_s is not None:
        text.append(f"{duration(left_s)} left")
    if hint := obstacle(reading):
        text.append(hint)
    return ", ".join(text)


def amounts(reading: Reading) -> str:
    """How much of how much is here."""
    if not reading.files and not reading.is_counted:
        return "counting files"
    more = "" if reading.is_counted else " or more"
    size = f"{format_size(reading.bytes)} of {format_size(reading.total_bytes)}{more}"
    text = f"{size}, {reading.files_done} of {counted(reading.files, 'file', more)}"
    return f"{text}, {reading.failed} failed" if reading.failed else text


def obstacle(reading: Reading) -> str:
    """Why it does not get on, if it does not."""
    if reading.paused:
        return "paused (ossfs-resume resume PATH goes on)"
    return f"trying again: {reading.error}" if reading.error else ""


def summary(reading: Reading, seconds: float) -> str:
    """The last line: what was reused, what was fetched, and how many failed."""
    rate = reading.fetched_bytes / seconds if seconds else 0.0
    took = f"{format_size(reading.fetched_bytes)} fetched in {duration(seconds)}"
    took += f", {format_size(rate)}/s" if reading.fetched_bytes else ""
    if reading.reused_bytes:
        here, total = format_size(reading.reused_bytes), format_size(reading.total_bytes)
        text = f"resumed: {here} of {total} were here; {took}"
    else:
        text = f"{counted(reading.files, 'file')}: {took}"
    if reading.cancelled:
        text += "; cancelled"
    return f"{text}; {reading.failed} of {reading.files} failed" if reading.failed else text


def failure(key: str, why: str) -> str:
    """Why a file failed; many reasons name it by themselves."""
    return why if key and key in why else f"{key}: {why}"


def duration(seconds: float) -> str:
    """``0:42``, ``1:07:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
