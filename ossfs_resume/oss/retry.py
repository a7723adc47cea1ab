"""Whether, and after how long, to ask again.

Full jitter over an exponential ceiling, as the official SDKs do it: many clients that failed
together do not come back together. A cause that another attempt cannot change is not retried.

`Patience` and the delays are decisions over values; `Attempts` are those at one operation: how each
is signed, and what happens when one fails.
"""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import trio

from ossfs_resume.errors import (
    AccessDenied,
    ClockSkewed,
    Disconnected,
    NotFound,
    OriginError,
    Throttled,
    TransientError,
    forget_frames,
)
from ossfs_resume.oss.error_responses import EXPIRED_TOKEN_CODES
from ossfs_resume.oss.models import Credentials
from ossfs_resume.oss.outage import Outage
from ossfs_resume.oss.request import Request
from ossfs_resume.oss.signing import Signer

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


log = logging.getLogger(__name__)

WARN_AFTER_FAILURES = 3


class Attempts:
    """``what`` names the operation in messages; ``last_error`` is the latest failure."""

    def __init__(
        self,
        what: str,
        budget_s: float,
        signer: Signer,
        counts: Counter[str],
        jitter: Callable[[], float],
        outage: Outage,
    ) -> None:
        """``budget_s``: seconds without progress until it gives up (0: never)."""
        self.what = what
        self.last_error: OriginError | None = None
        self._patience = Patience(budget_s, trio.current_time())
        self._signer = signer
        self._counts = counts
        self._jitter = jitter
        self._outage = outage
        self._credentials: Credentials | None = None
        self._renewed = False
        self._failures = 0

    async def sign(self, request: Request) -> Request:
        """``request`` as this attempt sends it."""
        signed, self._credentials = await self._signer.sign(request)
        return signed

    def progress(self) -> None:
        """A byte has arrived."""
        self._patience.progress(trio.current_time())

    async def wait(self, error: OriginError) -> None:
        """Returns when it is time for the next attempt; raises ``error`` if there is none."""
        forget_frames(error)
        self.last_error = error
        self._failures += 1
        self._outage.failed(error, trio.current_time())
        self._counts["errors"] += not isinstance(error, NotFound)
        seconds = self._seconds_to_wait(error)
        if seconds is None:
            raise error
        self._counts["retries"] += 1
        is_new = self._failures == WARN_AFTER_FAILURES and not error.is_told
        log.log(
            logging.WARNING if is_new else logging.DEBUG,
            "%s failed %d times, again in %.2f s: %s",
            self.what, self._failures, seconds, error, extra=error.fields,
        )  # fmt: skip
        await trio.sleep(seconds)

    def _seconds_to_wait(self, error: OriginError) -> float | None:
        if self._can_renew(error):
            self._renewed = True
            return 0.0
        return self._patience.wait(error, trio.current_time(), self._jitter())

    def _can_renew(self, error: OriginError) -> bool:
        is_told = error.code in EXPIRED_TOKEN_CODES or error.status == 401
        expired = is_told and isinstance(error, AccessDenied)
        if not expired or self._renewed or self._credentials is None:
            return False
        return self._signer.renew(self._credentials)
