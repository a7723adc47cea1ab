"""How many requests at once, and how soon, after the origin said "slow down".

One `Pace` is shared by all requests of a mount: if one is told to slow down, all do. It halves what
runs at once and pauses everybody, then grows again by one request for each round that succeeds, as
TCP does (RFC 5681: additive increase, multiplicative decrease). Answers that were under way when
the first refusal came say nothing new, so one round cuts once. Times are seconds of any one clock.
"""

from dataclasses import dataclass, field
from math import inf

ROUND_S = 1.0
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 4.0
FORGOTTEN_S = 60.0
"""Without a refusal for so long, the origin bears what it bore before."""


@dataclass(slots=True)
class Pace:
    """``width`` requests at once, at most ``limit``; none is sent before ``resume_at``."""

    limit: int
    width: float = field(init=False)
    resume_at: float = -inf
    _cut_at: float = -inf
    _pause_s: float = 0.0

    def __post_init__(self) -> None:
        self.width = float(self.limit)

    @property
    def share(self) -> float:
        """The part of what is usual that may run at once, in (0, 1]."""
        return self.width / self.limit

    def throttled(self, now: float) -> None:
        """A request was told to slow down."""
        if now < max(self.resume_at, self._cut_at + ROUND_S):
            return
        self._pause_s = min(max(self._pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self._cut_at, self.resume_at = now, now + self._pause_s
        self.width = max(self.width / 2, 1.0)

    def succeeded(self, now: float) -> None:
        """A request was answered; ``width`` of these make a round."""
        if self.width >= self.limit:
            return
        is_forgotten = now - self._cut_at >= FORGOTTEN_S
        self.width = float(self.limit) if is_forgotten else self._grown()
        self._pause_s = 0.0 if self.width >= self.limit else self._pause_s * (1 - 0.5 / self.width)

    def wait_s(self, now: float) -> float:
        """Seconds until the next request may be sent."""
        return max(self.resume_at - now, 0.0)

    def _grown(self) -> float:
        return min(self.width + 1 / self.width, float(self.limit))
