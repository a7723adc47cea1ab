"""What ``get`` shows: a progress line on a terminal, lines otherwise, or one JSON document."""

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import click
import trio

from ossfs_resume.cli.lines import printable
from ossfs_resume.download.report import Outcome, Report, Result
from ossfs_resume.errors import OssfsError
from ossfs_resume.quantities import format_size
from ossfs_resume.wording import counted, quoted

REFRESH_S = 0.2


def shown(output: str, dest: Path) -> "Shown":
    """How to show it, as ``--output`` says."""
    is_live = output in ("auto", "human") and sys.stderr.isatty()
    return Shown(output, is_live, dest)


def _explained(result: Result) -> str:
    """Why it failed, with its key: most errors of an origin say what was asked, but not all."""
    error = " ".join(str(result.error).split())
    name = quoted(result.key)
    return error if name in error else f"{name}: {error}"


@dataclass(slots=True)
class Shown:
    """Lines for a human go to stderr, for standard output may be the object's."""

    output: str
    is_live: bool
    dest: Path
    report: Report = field(init=False)
    results: list[Result] = field(default_factory=list)
    error: OssfsError | None = None
    _began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.report = Report(self._say, self._ended)

    @property
    def has_failed(self) -> bool:
        """Whether anything could not be downloaded."""
        has_failed = any(result.outcome is Outcome.FAILED for result in self.results)
        return has_failed or self.error is not None

    async def show_progress(self) -> None:
        """Until cancelled."""
        while self.is_live:
            sys.stderr.write(f"\r\x1b[K{self._progress()}")
            sys.stderr.flush()
            await trio.sleep(REFRESH_S)

    def end(self, *, is_interrupted: bool) -> None:
        """Say how all of it ended."""
        if self.output == "json":
            print(json.dumps(self._document(is_interrupted), indent=1))
        elif is_interrupted:
            self._line("interrupted; the same command again goes on from here")
        elif any(result.outcome is Outcome.DOWNLOADED for result in self.results):
            self._say(self._summary())

    def fail(self, error: OssfsError) -> None:
        """What kept all of it from being downloaded."""
        self.error = error
        self._line(f"ossfs-resume: {' '.join(str(error).split())}")

    def _say(self, line: str) -> None:
        if self.output in ("auto", "human"):
            self._line(line)

    def _ended(self, result: Result) -> None:
        self.results.append(result)
        if result.error is not None:
            self._line(f"ossfs-resume: {_explained(result)}")
        elif result.outcome is not Outcome.DOWNLOADED:
            self._say(f"{quoted(result.target)}: {result.outcome}")

    def _line(self, text: str) -> None:
        if self.is_live:
            sys.stderr.write("\r\x1b[K")
        click.echo(printable(text), err=True)

    def _progress(self) -> str:
        report, seconds = self.report, max(time.monotonic() - self._began, 0.001)
        rate = max(report.consumed - report.resumed, 0) / seconds
        text = f"{format_size(report.consumed)} of {format_size(report.total)}"
        if report.total:
            text += f"  {100 * report.consumed // report.total} %"
        text += f"  {format_size(rate)}/s"
        left = (report.total - report.consumed) / rate if rate else 0
        return f"{text}  {left // 60:.0f}:{left % 60:02.0f} left" if left > 0 else text

    def _summary(self) -> str:
        done = [result for result in self.results if result.outcome is Outcome.DOWNLOADED]
        size, here = sum(one.size for one in done), sum(one.resumed for one in done)
        seconds = time.monotonic() - self._began
        text = f"{counted(len(done), 'object')}, {format_size(size)} downloaded in {seconds:.1f} s"
        return f"{text}, of which {format_size(here)} were here already" if here else text

    def _document(self, is_interrupted: bool) -> dict[str, object]:
        return {
            "ok": not is_interrupted and not self.has_failed,
            "interrupted": is_interrupted,
            "error": str(self.error) if self.error else None,
            "bytes": self.report.consumed,
            "resumed_bytes": self.report.resumed,
            "objects": [
                {
                    "key": result.key,
                    "target": str(result.target),
                    "outcome": result.outcome,
                    "size": result.size,
                    "resumed_bytes": result.resumed,
                    "error": str(result.error) if result.error else None,
                }
                for result in self.results
            ],
        }
