"""A key that is fetched again before it expires, without anybody waiting for that.

Rules, in the order in which they decide:

- While the key is fresh it is returned as it is; no source is asked, no file read.
- In its last quarter (at most 15 minutes) one fetch at a time runs in the background, and everybody
  goes on with the old key. A fetch that fails is repeated after a pause: the old key serves on.
- Without a valid key everybody waits for the one fetch that runs, and gets its error if it fails.
- A key that the origin refused is no longer valid; but if its successor is refused as well within
  seconds, another fetch would not help.

The fetch runs as a system task of trio: it belongs to no request, so a reader that gives up does
not take it along, and no lock is held while it waits.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from math import inf

import trio

from ossfs_resume.errors import BadAnswer, OssfsError
from ossfs_resume.oss.credentials.sts import Issued
from ossfs_resume.oss.models import Credentials
from ossfs_resume.shortages import log_failure

log = logging.getLogger(__name__)

LEAD_S = 900.0
LEAD_SHARE = 0.25
PAUSE_S = 30.0
SHORTEST_PAUSE_S = 1.0
FORCED_PAUSE_S = 5.0
DOUBTFUL_S = 60.0
"""Lifetime of a key that has expired by a clock that may be wrong: the origin decides."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A key, and the monotonic times until which it is fresh and until which it is valid."""

    credentials: Credentials
    fresh_until: float
    valid_until: float


def held(issued: Issued, now: float) -> _Held:
    """What was issued at the monotonic time ``now``."""
    if issued.lifetime_s is None:
        return _Held(issued.credentials, inf, inf)
    lifetime_s = issued.lifetime_s if issued.lifetime_s > 0 else DOUBTFUL_S
    lead_s = min(LEAD_S, LEAD_SHARE * lifetime_s)
    return _Held(issued.credentials, now + lifetime_s - lead_s, now + lifetime_s)


class RotatingCredentials:
    """A `CredentialsProvider`. ``fetch`` gets a new key; ``origin`` names where from."""

    def __init__(self, fetch: Callable[[], Awaitable[Issued]], origin: str) -> None:
        self.origin = origin
        self._fetch = fetch
        self._held: _Held | None = None
        self._fetched: trio.Event | None = None
        self._error: OssfsError | None = None
        self._pause_until = -inf
        self._forced_at = -inf

    def __repr__(self) -> str:
        return f"<RotatingCredentials from {self.origin}>"

    def fresh(self) -> tuple[Credentials | None] | None:
        """See `CredentialsProvider`."""
        held = self._held
        if held is not None and trio.current_time() < held.fresh_until:
            return (held.credentials,)
        return None

    async def current(self) -> Credentials | None:
        """The key to sign with. Raises what the last fetch raised if there is no valid one."""
        if fresh := self.fresh():
            return fresh[0]
        self._start_fetch(trio.current_time())
        if self._held is not None and trio.current_time() < self._held.valid_until:
            return self._held.credentials
        if self._fetched is not None:
            await self._fetched.wait()
        if self._held is not None and trio.current_time() < self._held.valid_until:
            return self._held.credentials
        # One exception for many tasks: each starts a traceback of its own.
        error = self._error or BadAnswer(f"{self.origin}: the key expired as it came")
        raise error.with_traceback(None)

    def refused(self, credentials: Credentials) -> bool:
        """See `CredentialsProvider`."""
        now = trio.current_time()
        if self._held is None or self._held.credentials != credentials:
            return True
        if self._held.valid_until <= now:  # somebody else said so before
            return True
        if now - self._forced_at < FORCED_PAUSE_S:
            return False
        log.info("the key from %s was refused; fetching another", self.origin)
        self._forced_at = now
        self._pause_until = -inf
        self._held = replace(self._held, fresh_until=-inf, valid_until=-inf)
        return True

    def _start_fetch(self, now: float) -> None:
        if self._fetched is None and now >= self._pause_until:
            self._fetched = trio.Event()
            trio.lowlevel.spawn_system_task(self._run, self._fetched)

    async def _run(self, fetched: trio.Event) -> None:
        """Must not raise: it would end the program."""
        try:
            issued = await self._fetch()
            self._held = held(issued, trio.current_time())
            self._error = None
            log.debug("fetched a key from %s", self.origin)
        except OssfsError as error:
            self._failed(error)
        except Exception as error:
            log_failure(log, f"fetching a key from {self.origin}", error)
            self._failed(BadAnswer(f"{self.origin}: {type(error).__name__}"))
        finally:
            self._fetched = None
            fetched.set()

    def _failed(self, error: OssfsError) -> None:
        now = trio.current_time()
        remaining_s = self._held.valid_until - now if self._held is not None else 0.0
        self._pause_until = now + min(max(remaining_s / 4, SHORTEST_PAUSE_S), PAUSE_S)
        if self._error is None and self._held is not None:
            # Without a key whoever asked is told.
            log.warning("no new key from %s: %s", self.origin, error)
        self._error = error
