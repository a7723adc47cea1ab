"""The loop that waits for jobs, over mounts that answer from a script."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ossfs_resume.cli import waiting
from ossfs_resume.cli.outcome import Exit
from ossfs_resume.cli.places import Place
from ossfs_resume.cli.progress import Meter, Reading
from ossfs_resume.cli.views import Quiet
from ossfs_resume.errors import MountError
from ossfs_resume.fuse.mounts import Mount

RUNNING = {
    "state": "running", "objects": 1, "objects_done": 0, "total_bytes": 10, "bytes": 4,
    "reused_bytes": 1, "is_counted": True, "failed": 0, "failures": [], "transferring": [],
    "error": "",
}  # fmt: skip
DONE = RUNNING | {"state": "done", "objects_done": 1, "bytes": 10}


class Scripted:
    """Answers questions for jobs with these values in turn; sets count."""

    def __init__(self, values: Sequence[dict[str, Any] | Exception | None]) -> None:
        self.values = list(values)
        self.sets = 0

    def prepare(self, places: Sequence[Place]) -> None:
        pass

    def at(self, place: Place) -> "Scripted":
        return self

    def set(self, place: Place, verb: str) -> None:
        self.sets += 1

    def get(self, place: Place, name: str) -> bytes | None:
        value = self.values.pop(0)
        if isinstance(value, Exception):
            raise value
        return None if value is None else json.dumps(value).encode()


class Recording(Quiet):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.last = Reading()

    def end(self, reading: Reading, meter: Meter, seconds: float) -> None:
        self.last = reading


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it would have slept."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def run(
    *values: dict[str, Any] | Exception | None,
) -> tuple[Exit, Reading, Scripted]:
    mounts, view = Scripted(values), Recording()
    place = Place("m/f", "/m/f", Mount(1, 0, 1, "/m", "fuse.ossfs-resume", "oss://b"))
    status = waiting._Waiting(mounts, view).run([place])  # type: ignore[arg-type]
    return status, view.last, mounts


def test_it_reads_at_most_ten_times_a_second_until_all_is_here(pauses: list[float]) -> None:
    status, reading, _ = run(None, RUNNING, RUNNING, DONE)
    assert (status, reading.bytes, reading.reused_bytes) == (Exit.SUCCESS, 10, 1)
    assert len(pauses) == 2
    assert all(pause >= 0.1 for pause in pauses)


def test_what_a_running_job_had_fetched_was_here_for_who_comes_later(pauses: list[float]) -> None:
    _, reading, _ = run(RUNNING, RUNNING, DONE)
    assert reading.reused_bytes == 4
    _, reading, _ = run(DONE, RUNNING, DONE)
    assert reading.reused_bytes == 1


def test_a_job_that_was_paused_meanwhile_counts_anew(pauses: list[float]) -> None:
    resumed = RUNNING | {"reused_bytes": 4}
    _, reading, _ = run(RUNNING, resumed, DONE | {"reused_bytes": 4})
    assert reading.reused_bytes == 4


def test_a_mount_that_knows_nothing_of_it_is_asked_again(pauses: list[float]) -> None:
    status, _, mounts = run(None, RUNNING, None, RUNNING, DONE)
    assert (status, mounts.sets) == (Exit.SUCCESS, 2)


@pytest.mark.parametrize(
    "end",
    [
        DONE | {"state": "failed", "failed": 1, "failures": [["k", "no"]]},
        RUNNING | {"state": "cancelled"},
        MountError("dead"),
    ],
)
def test_what_does_not_come_is_status_1(
    pauses: list[float], end: dict[str, Any] | Exception, tmp_path: Path
) -> None:
    assert run(None, RUNNING, end)[0] == Exit.FAILURE


class Slow(Scripted):
    """Some places get on only when all others are done; counts the questions."""

    def __init__(self, stuck: int) -> None:
        super().__init__([])
        self.stuck = stuck
        self.asked = 0
        self.done: set[str] = set()

    def get(self, place: Place, name: str) -> bytes | None:
        self.asked += 1
        number = int(place.name)
        is_stuck = number < self.stuck and len(self.done) < 500 - self.stuck
        if is_stuck or self.sets < 500:
            return json.dumps(RUNNING).encode()
        self.done.add(place.name)
        return json.dumps(DONE).encode()


def test_of_a_long_list_those_that_cannot_get_on_hide_nobody(pauses: list[float]) -> None:
    table = Mount(1, 0, 1, "/m", "fuse.ossfs-resume", "oss://b")
    mounts, view = Slow(stuck=60), Recording()
    places = [Place(str(number), f"/m/{number}", table) for number in range(500)]
    assert waiting._Waiting(mounts, view).run(places) == Exit.SUCCESS  # type: ignore[arg-type]
    assert view.last.files_done == 500
    assert mounts.asked < 4 * 500
