"""Waiting until what was asked for is here."""

import json
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ossfs_resume.cli.mounted import MountedAll, asked
from ossfs_resume.cli.outcome import Exit
from ossfs_resume.cli.places import Place, complain
from ossfs_resume.cli.progress import OVER, Meter, Report, added_up
from ossfs_resume.cli.views import View
from ossfs_resume.errors import OssfsError

PAUSE_S = 0.1
"""At most ten readings a second, and a tenth of the time for those that bring no news."""

AT_ONCE = 20
"""Of so many paths that are under way is asked at a time."""

LONGEST_LOOK_S = 1.0
"""So long is asked, for downloads or how far they are, before what is known is shown."""


def materialize(places: Sequence[Place], view: View, names: str) -> Exit:
    """Ask for all places and wait until all is here, or failed for good, or somebody interrupts.

    ``names`` is what a command that cancels it must name.
    """
    with asked() as mounts:
        waiting = _Waiting(mounts, view)
        try:
            return waiting.run(places)
        except KeyboardInterrupt:
            view.close()
            begun = waiting.begun(len(places))
            view.interrupted(
                f"the download{begun} goes on; to stop it: ossfs-resume cancel {names}"
            )
            return Exit.INTERRUPTED


class _Waiting:
    def __init__(self, mounts: MountedAll, view: View) -> None:
        self._mounts = mounts
        self._view = view
        self._reports: dict[Place, Report] = {}
        self._fetched_before: dict[Place, int] = {}
        """By a job that went on already: for who waits now, that was here before."""
        self._unasked: deque[Place] = deque()
        self._pending: deque[Place] = deque()
        self._turn = self._seen = 0
        self._lost = 0
        """Paths of which nothing more can be learnt."""

    def run(self, places: Sequence[Place]) -> Exit:
        meter, began = Meter(), time.monotonic()
        self._mounts.prepare(places)
        self._unasked = deque(places)
        while True:
            self._begin_some()
            pause_s = self._look()
            now = time.monotonic()
            reading = added_up(self._reports.values())
            if len(self._reports) < len(places) - self._lost:
                reading = replace(reading, is_counted=False)
            meter.read(reading, now)
            if not self._pending and not self._unasked:
                break
            self._view.show(reading, meter, now - began)
            if not self._unasked:
                time.sleep(pause_s)
        self._view.close()
        if self._reports:
            self._view.end(reading, meter, now - began)
        is_all = not (self._lost or reading.failed or reading.cancelled)
        return Exit.SUCCESS if is_all else Exit.FAILURE

    def begun(self, count: int) -> str:
        """Which of ``count`` paths were asked for, if not all."""
        return f" of the first {count - len(self._unasked)} paths" if self._unasked else ""

    def _begin_some(self) -> None:
        """Ask for what has not been asked for, as long as nobody misses a look."""
        until = time.monotonic() + LONGEST_LOOK_S
        while self._unasked and time.monotonic() < until:
            place = self._unasked.popleft()
            if self._begin(place):
                self._pending.append(place)

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

    def _look(self) -> float:
        """Ask how far they are, and say how long to wait until the next time.

        Downloads end about in the order in which they were asked for: of a long list the first ones
        that are under way tell what happens, and others in turn, lest one that cannot get on hides
        them. To find that one has ended is no waste of time, however many there are.
        """
        began, wasted_s = time.monotonic(), 0.0
        self._pending.rotate(-self._turn)
        going_on: list[Place] = []
        while self._pending and len(going_on) < AT_ONCE:
            asked_at = time.monotonic()
            place = self._pending.popleft()
            if self._is_under_way(place):
                going_on.append(place)
                wasted_s += time.monotonic() - asked_at
            if time.monotonic() > began + LONGEST_LOOK_S:
                break
        self._pending.extendleft(reversed(going_on))
        self._pending.rotate(self._turn)
        self._turn = 0 if self._turn else self._next_turn()
        return max(PAUSE_S, 9 * wasted_s)

    def _next_turn(self) -> int:
        """Where else to look next time, if not at the beginning."""
        self._seen = (self._seen + AT_ONCE) % max(len(self._pending), 1)
        return self._seen

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
