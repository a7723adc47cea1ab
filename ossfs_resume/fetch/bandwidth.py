"""Limits in bytes per second: for all transfers together, and for those in the background.

`Budget` is the pure part. What is over the limit is waited for before the bytes go on, and the
network feels it because nothing is read meanwhile.
"""

from dataclasses import dataclass
from math import inf

import trio

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

    def spend(self, count: int, *, is_background: bool) -> float:
        """Seconds to wait before these bytes may go on."""
        now = trio.current_time()
        background_s = self._background.spend(count, now) if is_background else 0.0
        return max(self._all.spend(count, now), background_s)
