"""Whether the cache's disk can be used at this moment: one line when trouble begins, one when it
ends, and in between a try every few seconds."""

import logging

log = logging.getLogger(__name__)

RETRY_SECONDS = 3.0
"""While the disk is ill it is left alone for so long after each failure."""

CALM_SECONDS = 5.0
"""So long after the last failure a success means that it is well: a nearly full disk takes small
writes and refuses large ones in turns."""


class CircuitBreaker:
    """The state of one way of using the disk; ``use`` names it in the log.

    Times are seconds of one clock. ``failures`` counts for ever.
    """

    def __init__(self, use: str) -> None:
        self._use = use
        self._failed_at = 0.0
        self._retry_at = 0.0
        self._works = False
        self.error = ""
        """Why it failed, in one line; empty while it is well."""
        self.failures = 0

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self._use}: {self.error or 'none'}>"

    def is_resting(self, now: float) -> bool:
        """Whether the disk is to be left alone."""
        self.settle(now)
        return bool(self.error) and now < self._retry_at

    def failed(self, error: Exception, now: float, *, rest: bool = True) -> None:
        """It failed. Without ``rest`` it may be tried again at once."""
        if not self.error:
            log.warning("the cache cannot be %s, going on without it: %s", self._use, error)
        self.error = str(error)
        self.failures += 1
        self._works = False
        self._failed_at = now
        self._retry_at = now + RETRY_SECONDS if rest else now

    def succeeded(self, now: float) -> None:
        """It worked."""
        if self.error:
            self._retry_at = now
            self._works = True
            self.settle(now)

    def settle(self, now: float) -> None:
        """Say so if the trouble is over: it worked since the last failure, and that is long ago."""
        if self.error and self._works and now - self._failed_at >= CALM_SECONDS:
            self.error = ""
            log.info("the cache can be %s again", self._use)
