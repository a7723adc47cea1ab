"""How far downloads are: what the jobs of several paths report, added up, and how fast they are.

Pure: reports and times in, values out. Sizes in bytes, times in seconds of any one clock.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Report = Mapping[str, Any]
"""The value of ``user.ossfs.job``; see `control.job.JobReport`."""

OVER = ("done", "failed", "cancelled")
"""The states of a job that has ended."""

WINDOW_S = 10.0
"""The rate is that of so many seconds."""


@dataclass(frozen=True, slots=True)
class Reading:
    """All of it at one moment. ``bytes`` of ``total_bytes`` are here, ``reused_bytes`` of them were
    before anybody asked; ``is_counted`` is False while there may be more than is known."""

    files: int = 0
    files_done: int = 0
    total_bytes: int = 0
    bytes: int = 0
    reused_bytes: int = 0
    is_counted: bool = True
    failed: int = 0
    cancelled: int = 0
    paused: int = 0
    failures: tuple[tuple[str, str], ...] = ()
    """Keys, and why."""
    transferring: tuple[tuple[str, int, int], ...] = ()
    """Keys, how much of each is here, and its size."""
    error: str = ""
    """Why something cannot get on at this moment."""

    @property
    def fetched_bytes(self) -> int:
        """What had to come from the bucket."""
        return max(self.bytes - self.reused_bytes, 0)


def added_up(reports: Iterable[Report]) -> Reading:
    """The sum of what jobs report."""
    known = list(reports)
    states = [report["state"] for report in known]

    def total(name: str) -> int:
        return sum(report[name] for report in known)

    return Reading(
        total("objects"),
        total("objects_done"),
        total("total_bytes"),
        total("bytes"),
        total("reused_bytes"),
        all(report["is_counted"] or report["state"] in OVER for report in known),
        total("failed"),
        states.count("cancelled"),
        states.count("paused"),
        tuple((key, why) for report in known for key, why in report["failures"]),
        tuple((key, here, size) for one in known for key, here, size in one["transferring"]),
        next((report["error"] for report in known if report["error"]), ""),
    )


@dataclass(slots=True)
class Meter:
    """How fast bytes arrive, from readings as they come."""

    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def read(self, reading: Reading, now: float) -> None:
        """Take note of what had been fetched at ``now``."""
        if self._seen and reading.fetched_bytes < self._seen[-1][1]:
            self._seen.clear()  # a job that was resumed counts anew
        self._seen.append((now, reading.fetched_bytes))
        while len(self._seen) > 2 and self._seen[1][0] <= now - WINDOW_S:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Bytes a second of late."""
        if len(self._seen) < 2:
            return 0.0
        (began, before), (now, after) = self._seen[0], self._seen[-1]
        return (after - before) / (now - began) if now > began else 0.0

    def left_s(self, reading: Reading) -> float | None:
        """Seconds until all is here at this rate; None if nobody knows."""
        rate = self.rate
        if not rate or not reading.is_counted:
            return None
        return max(reading.total_bytes - reading.bytes, 0) / rate
