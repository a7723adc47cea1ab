"""The words and bars that tell how far it is."""

import json

import pytest
from rich.console import Console

from ossfs_resume.cli.bars import FETCHED, MISSING, REUSED, bar, frame
from ossfs_resume.cli.progress import Meter, Reading
from ossfs_resume.cli.views import JsonLines, Quiet, duration, failure, line, summary

MIB = 1 << 20
HALF = Reading(
    files=4, files_done=1, total_bytes=100 * MIB, bytes=50 * MIB, reused_bytes=20 * MIB, failed=1,
    failures=(("d/x", "denied"),), transferring=(("d/a", 3 * MIB, 6 * MIB),),
)  # fmt: skip


@pytest.fixture
def meter() -> Meter:
    """Of 10 MiB a second."""
    meter = Meter()
    for now in (0, 1):
        meter.read(Reading(bytes=10 * now * MIB), now)
    return meter


def test_one_line_says_how_much_how_fast_and_how_long(meter: Meter) -> None:
    assert line(HALF, meter) == (
        "50.0 MiB of 100 MiB, 1 of 4 files, 1 failed, 10.0 MiB/s, 0:05 left"
    )
    uncounted = Reading(files=1, total_bytes=MIB, is_counted=False, error="down", paused=1)
    assert line(uncounted, meter) == (
        "0 B of 1.0 MiB or more, 0 of 1 or more files, 10.0 MiB/s,"
        " paused (ossfs-resume resume PATH goes on)"
    )
    assert line(Reading(is_counted=False), meter) == "counting files"


@pytest.mark.parametrize(
    ("reading", "seconds", "expected"),
    [
        (Reading(2, 2, 4 * MIB, 4 * MIB), 2, "2 files: 4.0 MiB fetched in 0:02, 2.0 MiB/s"),
        (
            Reading(1, 1, 5 * MIB, 5 * MIB, 3 * MIB),
            4000,
            "resumed: 3.0 MiB of 5.0 MiB were here; 2.0 MiB fetched in 1:06:40, 524 B/s",
        ),
        (Reading(3, 1, 9, 3, 3, failed=2), 0, "resumed: 3 B of 9 B were here; 0 B fetched in 0:00"
         "; 2 of 3 failed"),
        (Reading(1, 0, 9, 0, cancelled=1), 0, "1 file: 0 B fetched in 0:00; cancelled"),
    ],
)  # fmt: skip
def test_the_last_line_says_what_was_reused_and_what_failed(
    reading: Reading, seconds: float, expected: str
) -> None:
    assert summary(reading, seconds) == expected


def test_durations_are_minutes_and_hours() -> None:
    assert [duration(s) for s in (0, 59.6, 3599, 3600)] == ["0:00", "1:00", "59:59", "1:00:00"]


def test_a_failure_names_its_key_once() -> None:
    assert failure("d/x", "GET d/x: no") == "GET d/x: no"
    assert failure("d/x", "no") == "d/x: no"


def test_failures_that_are_not_named_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    Quiet().end(Reading(failed=3, failures=(("d/\n", "no"),)), Meter(), 1)
    assert capsys.readouterr().err == (
        "ossfs-resume: d/\\n: no\nossfs-resume: 2 more files failed\n"
    )


def test_json_has_the_names_of_rclone(meter: Meter, capsys: pytest.CaptureFixture[str]) -> None:
    view = JsonLines()
    for seconds in (0.0, 0.5, 1.0):
        view.show(HALF, meter, seconds)
    view.end(HALF, meter, 1.5)
    first, second, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["bytes"], first["totalBytes"]) == (50 * MIB, 100 * MIB)
    assert (first["speed"], first["eta"]) == (10 * MIB, 5)
    assert first["transferring"] == [{"name": "d/a", "bytes": 3 * MIB, "size": 6 * MIB}]
    assert (first["errors"], first["lastError"], first["finished"]) == (1, "denied", False)
    assert (second["elapsedTime"], last["finished"]) == (1.0, True)
    assert last["failures"] == [{"name": "d/x", "error": "denied"}]


def test_a_bar_tells_what_was_here_from_what_has_come() -> None:
    drawn = bar(10, "━", 0.2, 0.5)
    assert drawn.plain == "━" * 10
    assert [(span.start, span.end, span.style) for span in drawn.spans] == [
        (0, 2, REUSED), (2, 5, FETCHED), (5, 10, MISSING),
    ]  # fmt: skip
    assert bar(4, "=", 0, 0.5).plain == "==--"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_frame_fits_the_terminal_whatever_the_keys_are(meter: Meter, width: int) -> None:
    keys = ("a\x1b[2J" + "名" * 200, "b" * 1000, "\udcff")
    flights = tuple((key, MIB, 2 * MIB) for key in keys * 5)
    drawn = frame(Reading(15, 0, 30 * MIB, transferring=flights), meter, width, 12, "utf-8")
    lines = drawn.split()
    assert len(lines) == 12 - 2
    assert all(one.cell_len <= width for one in lines)
    console = Console(width=width, force_terminal=True)
    with console.capture() as capture:
        console.print(drawn)
    assert "[2J" not in capture.get().replace("\\x1b[2J", "")
