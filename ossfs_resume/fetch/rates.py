"""How fast bytes come, when the last one came, and how fast they may come.

The measured rate decides how many requests the link bears. The time of the newest byte decides
whether a reader whose own request is still queued goes on waiting. What is over a limit of
bandwidth is waited for before the bytes go on, and the network feels it because nothing is read
meanwhile. Times are seconds of any one clock.
"""

import math
from dataclasses import dataclass
from math import inf


class RateMeter:
    """Bytes per second while something is being transferred; idle time does not count.

    ``add`` takes the time in seconds. ``rate`` is None until it was measured for a moment: until
    then only a few requests run.
    """

    FIRST_INTERVAL_SECONDS = 0.05
    INTERVAL_SECONDS = 0.25

    def __init__(self) -> None:
        self.rate: float | None = None
        self._since = 0.0
        self._bytes = 0

    def begin(self, now: float) -> None:
        """The first transfer after an idle time starts."""
        self._since, self._bytes = now, 0

    def add(self, count: int, now: float) -> bool:
        """Count bytes that arrived; True if ``rate`` changed."""
        self._bytes += count
        elapsed = now - self._since
        is_first = self.rate is None
        if elapsed < (self.FIRST_INTERVAL_SECONDS if is_first else self.INTERVAL_SECONDS):
            return False
        measured = self._bytes / elapsed
        self.rate = measured if self.rate is None else (self.rate + measured) / 2
        self._since, self._bytes = now, 0
        return True


class Traffic:
    """Of all transfers of a mount together."""

    def __init__(self) -> None:
        self._meter = RateMeter()
        self.bytes_received = 0
        self.newest_byte = -math.inf
        """When the newest byte arrived, or will: see `excuse`."""

    def __repr__(self) -> str:
        return f"<Traffic {self.bytes_received} bytes, {self.bytes_per_second} a second>"

    @property
    def bytes_per_second(self) -> float | None:
        """None until measured."""
        return self._meter.rate

    def begin(self, now: float) -> None:
        """The first transfer after an idle time starts."""
        self._meter.begin(now)

    def arrived(self, count: int, now: float) -> bool:
        """Count bytes; True if the rate is another one now."""
        self.newest_byte = now
        self.bytes_received += count
        return self._meter.add(count, now)

    def excuse(self, until: float) -> None:
        """Nothing is read until then by our own will; that is no silence of the origin."""
        self.newest_byte = max(self.newest_byte, until)


SAVED_S = 0.1
"""Unused time that may be made up for; more would let a burst through after each pause."""

UNLIMITED = 1 << 40
"""More bytes per second than there will be."""


@dataclass(slots=True)
class Budget:
    """``rate`` bytes per second; 0 for no limit. Times are seconds of any one clock."""

    rate: float
    _spent_until: float = -inf

    def spend(self, count: int, now: float) -> float:
        """Seconds until ``count`` bytes more are within the rate."""
        if not self.rate:
            return 0.0
        self._spent_until = max(self._spent_until, now - SAVED_S) + count / self.rate
        return max(self._spent_until - now, 0.0)


class Bandwidth:
    """The limits of one mount, in bytes per second; 0 for none."""

    def __init__(self, total: float = 0, background: float = 0) -> None:
        self.total = total
        self.is_limited = bool(total or background)
        self._all = Budget(total)
        self._background = Budget(background)

    def burst(self, seconds: float, *, is_background: bool) -> int:
        """The most bytes that may go on at a time: those of so many seconds."""
        rates = [self.total, self._background.rate if is_background else 0]
        return max(int(min((rate for rate in rates if rate), default=UNLIMITED) * seconds), 1)

    def spend(self, count: int, now: float, *, is_background: bool) -> float:
        """Seconds to wait before these bytes may go on."""
        background_s = self._background.spend(count, now) if is_background else 0.0
        return max(self._all.spend(count, now), background_s)
