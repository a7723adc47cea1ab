"""The attempts at one operation: how each is signed, and what happens when one fails."""

import logging
from collections import Counter
from collections.abc import Callable

import trio

from ossfs_resume.errors import AccessDenied, NotFound, OriginError, forget_frames
from ossfs_resume.oss.models import Credentials
from ossfs_resume.oss.outage import Outage
from ossfs_resume.oss.refusal import EXPIRED_TOKEN_CODES
from ossfs_resume.oss.request import Request
from ossfs_resume.oss.retry import Patience
from ossfs_resume.oss.signer import Signer

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
