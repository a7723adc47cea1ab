"""Whether, and after how long, to ask again.

Full jitter over an exponential ceiling, as the official SDKs do it: many clients that failed
together do not come back together. A cause that another attempt cannot change is not retried.
"""

from dataclasses import dataclass
from math import inf

from ossfs_resume.errors import (
    ClockSkewed,
    Disconnected,
    OriginError,
    Throttled,
    TransientError,
)

CEILING_S = 20.0
WAITS_PER_BUDGET = 10
"""Whoever has little time asks more often: of an origin that fails now and then, several attempts
must fit in. One that says "slow down" is protected by the pace of all requests."""

FIRST_S = 0.2
FIRST_THROTTLED_S = 1.0

_MOST_DOUBLINGS = 10  # beyond it every ceiling is CEILING_S, and 2**n would leave the floats


def wait_before_retry(
    error: OriginError, attempt: int, idle_s: float, budget_s: float, fraction: float
) -> float | None:
    """Seconds to wait before the next attempt, or None to give up.

    ``attempt``: failures in a row before this one. ``idle_s``: seconds since the last progress;
    no wait ends later than ``budget_s`` after it (0: no limit). ``fraction``: random in [0, 1).
    """
    remaining = budget_s - idle_s if budget_s else inf
    if not isinstance(error, TransientError) or remaining <= 0:
        return None
    if isinstance(error, ClockSkewed | Disconnected) and attempt == 0:
        # The clock has been corrected from the refusal itself, or a server closed an idle
        # connection in the moment in which it was used again.
        return 0.0
    first = FIRST_THROTTLED_S if isinstance(error, Throttled) else FIRST_S
    longest = min(budget_s / WAITS_PER_BUDGET, CEILING_S) if budget_s else CEILING_S
    ceiling = min(first * 2.0 ** min(attempt, _MOST_DOUBLINGS), longest)
    return min(fraction * ceiling, remaining)


@dataclass(slots=True)
class Patience:
    """How long one operation has gone without progress. Times are seconds of any one clock."""

    budget_s: float
    progress_at: float
    failures: int = 0

    def progress(self, now: float) -> None:
        """Something arrived: the whole budget is available again."""
        self.progress_at = now
        self.failures = 0

    def remaining_s(self, now: float) -> float:
        """Seconds until the operation fails without progress; infinite without a budget."""
        return self.budget_s - (now - self.progress_at) if self.budget_s else inf

    def wait(self, error: OriginError, now: float, fraction: float) -> float | None:
        """Counts a failure; see ``wait_before_retry``."""
        idle_s = now - self.progress_at
        seconds = wait_before_retry(error, self.failures, idle_s, self.budget_s, fraction)
        self.failures += 1
        return seconds
