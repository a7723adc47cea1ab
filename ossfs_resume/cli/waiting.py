"""Waiting until what was asked for is here."""

import json
import time
from collections.abc import Sequence
from typing import Any

from ossfs_resume.cli.mounted import MountedAll, asked
from ossfs_resume.cli.outcome import Exit
from ossfs_resume.cli.places import Place, complain
from ossfs_resume.cli.progress import OVER, Meter, Report, added_up
from ossfs_resume.cli.views import View
from ossfs_resume.errors import OssfsError

PAUSE_S = 0.1
"""At most ten readings a second, and at most a tenth of the time spent on them."""

AT_ONCE = 200
"""Of a long list of paths so many are asked in a row, then the next ones."""


def materialize(places: Sequence[Place], view: View, names: str) -> Exit:
    """Ask for all places and wait until all is here, or failed for good, or somebody interrupts.

    ``names`` is what a command that cancels it must name.
    """
    try:
        with asked() as mounts:
            return _Waiting(mounts, view).run(places)
    except KeyboardInterrupt:
        view.close()
        view.interrupted(f"the download goes on; to stop it: ossfs-resume cancel {names}")
        return Exit.INTERRUPTED


class _Waiting:
    def __init__(self, mounts: MountedAll, view: View) -> None:
        self._mounts = mounts
        self._view = view
        self._reports: dict[Place, Report] = {}
        self._fetched_before: dict[Place, int] = {}
        """By a job that went on already: for who waits now, that was here before."""
        self._pending: list[Place] = []
        self._lost = 0
        """Paths of which nothing more can be learnt."""

    def run(self, places: Sequence[Place]) -> Exit:
        self._pending = [place for place in places if self._begin(place)]
        meter, began = Meter(), time.monotonic()
        while True:
            asked_at = time.monotonic()
            self._look()
            now = time.monotonic()
            reading = added_up(self._reports.values())
            meter.read(reading, now)
            if not self._pending:
                break
            self._view.show(reading, meter, now - began)
            time.sleep(max(PAUSE_S, 9 * (now - asked_at)))
        self._view.close()
        if self._reports:
            self._view.end(reading, meter, now - began)
        is_all = not (self._lost or reading.failed or reading.cancelled)
        return Exit.SUCCESS if is_all else Exit.FAILURE

    def _begin(self, place: Place) -> bool:
        mounted = self._mounts.at(place)
        try:
            report = _report(mounted.get(place, "job"))
            if report is not None and report["state"] not in OVER:
                self._fetched_before[place] = report["bytes"] - report["reused_bytes"]
            mounted.set(place, "materialize")
        except OssfsError as error:
            self._lose(error)
            return False
        return True

    def _lose(self, error: OssfsError) -> None:
        self._view.close()
        complain(error)
        self._lost += 1

    def _look(self) -> None:
        """Ask those that have waited longest."""
        looked, self._pending = self._pending[:AT_ONCE], self._pending[AT_ONCE:]
        self._pending += [place for place in looked if self._is_under_way(place)]

    def _is_under_way(self, place: Place) -> bool:
        mounted = self._mounts.at(place)
        try:
            report = _report(mounted.get(place, "job"))
            if report is None:  # another process serves the mount, and knows nothing of this one
                mounted.set(place, "materialize")
                return True
        except OssfsError as error:
            self._reports.pop(place, None)
            self._lose(error)
            return False
        if report["bytes"] - report["reused_bytes"] < self._fetched_before.get(place, 0):
            self._fetched_before.pop(place, None)  # it was paused meanwhile, and counts anew
        report["reused_bytes"] += self._fetched_before.get(place, 0)
        self._reports[place] = report
        return report["state"] not in OVER


def _report(value: bytes | None) -> dict[str, Any] | None:
    return None if value is None else json.loads(value)
