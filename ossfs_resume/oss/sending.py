"""One attempt: signed anew, at the pace the origin bears, and judged by its status.

All requests share one pace: when one is told to slow down, fewer run at once in both lanes and the
next ones wait (`pacing`). Whoever is handed an answer has a successful one; what another one means
is raised, and what it teaches (the origin's clock, its pace) holds for all later attempts.
"""

import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import trio

from ossfs_resume.errors import ClockSkewed, OriginError, Throttled
from ossfs_resume.oss import refusal, wire
from ossfs_resume.oss.attempts import Attempts
from ossfs_resume.oss.hedging import Turn
from ossfs_resume.oss.lane import Lane
from ossfs_resume.oss.models import ClientStatistics
from ossfs_resume.oss.outage import Outage
from ossfs_resume.oss.pacing import Pace
from ossfs_resume.oss.request import Request
from ossfs_resume.oss.request_log import log_answer
from ossfs_resume.oss.settings import ClientSettings
from ossfs_resume.oss.signer import Signer
from ossfs_resume.oss.transport import Answer

ERROR_BODY_S = 5.0
"""Longest wait for the text of an error whose status has arrived."""


class Sender:
    """Sends the requests of one client, in the lane ``data`` or ``metadata``, and counts them."""

    def __init__(
        self,
        settings: ClientSettings,
        signer: Signer,
        jitter: Callable[[], float],
        context: ssl.SSLContext,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.data = Lane(settings, settings.connections, context)
        self.metadata = Lane(settings, settings.metadata_connections, context)
        self._settings = settings
        self._signer = signer
        self._jitter = jitter
        self._pace = Pace(settings.connections)
        self.outage = Outage(settings.endpoint.authority)

    async def aclose(self) -> None:
        """Closes all connections."""
        await self.data.transport.aclose()
        await self.metadata.transport.aclose()

    def statistics(self) -> ClientStatistics:
        """The counts of this moment."""
        hedged = self.data.hedges.started + self.metadata.hedges.started
        return ClientStatistics(**self.counts, hedged=hedged, concurrency=self.concurrency())

    def concurrency(self) -> int:
        """Ranges at once that the origin bears at this moment; less after "slow down"."""
        return int(self._pace.width)

    @asynccontextmanager
    async def send(
        self, lane: Lane, kind: str, wanted: Request, attempts: Attempts, turn: Turn
    ) -> AsyncIterator[Answer]:
        """One attempt; yields a successful answer and raises what an unsuccessful one means."""
        if self._settings.request_payer:
            wanted = wanted.with_headers({"x-oss-request-payer": "requester"})
        signed = await attempts.sign(wanted)
        if pause_s := self._pace.wait_s(trio.current_time()):
            await trio.sleep(pause_s)
        self.counts[kind] += 1
        sent_at = trio.current_time()
        turn.listen()
        async with lane.transport.send(signed) as answer:
            elapsed_s = trio.current_time() - sent_at
            log_answer(signed, answer.status, answer.headers, elapsed_s)
            if answer.status < 500:
                self.outage.answered(trio.current_time())
            if answer.status >= 300:
                raise await self._refusal(answer)
            self._pace.succeeded(trio.current_time())
            self._keep_pace()
            yield answer

    async def _refusal(self, answer: Answer) -> OriginError:
        body = b""
        with trio.move_on_after(ERROR_BODY_S), suppress(OriginError):
            body = await answer.read(wire.MAX_ERROR_BYTES)
        error = refusal.error_from(answer.status, answer.headers, body, self._signer.key_source)
        if isinstance(error, ClockSkewed):
            self._signer.correct_clock(answer.headers.get("date", ""))
        if isinstance(error, Throttled):
            self.counts["throttled"] += 1
            self._pace.throttled(trio.current_time())
            self._keep_pace()
        return error

    def _keep_pace(self) -> None:
        for lane in (self.data, self.metadata):
            lane.narrow(self._pace.share)

    def attempts(self, what: str) -> Attempts:
        """The attempts at the operation that messages call ``what``."""
        timeout_s = self._settings.timeout_s
        return Attempts(what, timeout_s, self._signer, self.counts, self._jitter, self.outage)
