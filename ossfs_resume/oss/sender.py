"""One attempt: signed anew, at the pace the origin bears, and judged by its status.

It goes through a lane: connections of its own, the queue before them, and the second attempts
beside them. A client has two, one for metadata and one for data, so that a listing gets through
however many ranges stall. Both share nothing but the pace, which makes each of them narrower: when
one request is told to slow down, fewer run at once in both lanes and the next ones wait
(`throttling`).

Whoever is handed an answer has a successful one; what another one means is raised, and what it
teaches (the origin's clock, its pace) holds for all later attempts.
"""

import logging
import re
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from math import inf
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

import trio

from ossfs_resume.errors import ClockSkewed, OriginError, Throttled
from ossfs_resume.oss import error_responses
from ossfs_resume.oss.exchange import Exchange, Exchanges
from ossfs_resume.oss.headers import MAX_ERROR_BYTES, Headers
from ossfs_resume.oss.hedging import Contests, Hedges, Turn
from ossfs_resume.oss.links import Dialer
from ossfs_resume.oss.models import ClientStatistics
from ossfs_resume.oss.outage import Outage
from ossfs_resume.oss.request import Request
from ossfs_resume.oss.retry import Attempts
from ossfs_resume.oss.settings import ClientSettings
from ossfs_resume.oss.signing import Signer
from ossfs_resume.oss.throttling import Pace
from ossfs_resume.oss.transport import Answer, Transport

SILENCES_PER_BUDGET = 3
"""A connection that falls silent is given up early enough for two more attempts,"""

LEAST_SILENCE_S = 5.0
"""but not before an origin that is merely slow would have answered."""

SPARE_CONNECTIONS = 2
"""Of either lane, for second attempts; more never run at once."""


class Reply(Protocol):
    """The head of an answer, and its body if that is an error's."""

    status: int
    headers: Headers

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises BadAnswer if it is longer than ``limit`` bytes."""


R_co = TypeVar("R_co", bound=Reply, covariant=True)


class Asker(Protocol[R_co]):
    """What sends the requests of a lane."""

    def send(self, request: Request) -> AbstractAsyncContextManager[R_co]:
        """The answer, from its head on. Raises OriginError."""

    async def aclose(self) -> None:
        """Close all connections."""


class Lane(Generic[R_co]):
    """The queue before ``asker``, which is fair and survives cancellation, and what is counted."""

    def __init__(self, asker: Asker[R_co], connections: int) -> None:
        self.asker = asker
        self.slots = trio.CapacityLimiter(connections)
        self.contests = Contests(Hedges(SPARE_CONNECTIONS))
        self.counts: Counter[str] = Counter()
        self._connections = connections

    def narrow(self, share: float) -> None:
        """Let ``share`` of the usual number of requests run at once, one at least."""
        self.slots.total_tokens = max(int(self._connections * share), 1)


def silence_s(budget_s: float) -> float:
    """Seconds without a byte after which a connection is given up; infinite without a budget."""
    return min(max(budget_s / SILENCES_PER_BUDGET, LEAST_SILENCE_S), budget_s) or inf


log = logging.getLogger(__name__)

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


def log_answer(wanted: Request, status: int, headers: Mapping[str, str], elapsed_s: float) -> None:
    """``elapsed_s``: from the request to the headers of the answer."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    request_id = headers.get("x-oss-request-id", "")
    fields: dict[str, object] = {"status": status, "request_id": request_id or None}
    fields |= {"key": wanted.resource.split("/", 2)[2] or None, "seconds": round(elapsed_s, 3)}
    text = ""
    if match := _RANGE.fullmatch(wanted.headers.get("range", "")):
        first, stop = int(match[1]), int(match[2]) + 1
        fields |= {"first": first, "stop": stop, "bytes": stop - first}
        text = f" bytes {first} to {stop} ({stop - first})"
    log.debug(
        "%s %s%s: %d, %.3f s, id %s",
        wanted.method, wanted.target, text, status, elapsed_s, request_id or "none", extra=fields,
    )  # fmt: skip


ERROR_BODY_S = 5.0
"""Longest wait for the text of an error whose status has arrived."""


AnyReply = TypeVar("AnyReply", bound=Reply)


class Sender:
    """Sends the requests of one client, in the lane ``metadata`` or one for data, and counts them.

    Each lane may be used on another event loop, in another thread.
    """

    def __init__(
        self,
        settings: ClientSettings,
        signer: Signer,
        jitter: Callable[[], float],
        context: ssl.SSLContext,
    ) -> None:
        self._context = context
        self._data_lanes: list[Lane[Exchange]] = []
        self.metadata: Lane[Answer] = Lane(
            _transport(settings, context), settings.metadata_connections
        )
        self._settings = settings
        self._signer = signer
        self._jitter = jitter
        self._pace = Pace(settings.connections)
        self._pace_lock = threading.Lock()
        self.outage = Outage(settings.endpoint.authority)

    async def aclose(self) -> None:
        """Closes all connections."""
        for lane in self._data_lanes:
            await lane.asker.aclose()
        await self.metadata.asker.aclose()

    def open_data_lane(self) -> Lane[Exchange]:
        """A lane for ranges."""
        lane = Lane(_exchanges(self._settings, self._context), self._settings.connections)
        self._data_lanes.append(lane)
        return lane

    def statistics(self) -> ClientStatistics:
        """The counts of this moment."""
        lanes: list[Lane[Any]] = [self.metadata, *self._data_lanes]
        hedged = sum(lane.contests.hedges.started for lane in lanes)
        counts = sum((lane.counts for lane in lanes), Counter[str]())
        began = self.outage.began
        down_s = 0.0 if began is None else trio.current_time() - began
        return ClientStatistics(
            **counts, hedged=hedged, concurrency=self.concurrency(), down_s=down_s
        )

    def concurrency(self) -> int:
        """Ranges at once that the origin bears at this moment; less after "slow down"."""
        return int(self._pace.width)

    def send(
        self, lane: Lane[AnyReply], kind: str, wanted: Request, attempts: Attempts, turn: Turn
    ) -> "_Sending[AnyReply]":
        """One attempt; gives a successful answer and raises what an unsuccessful one means."""
        return _Sending(self, lane, kind, wanted, attempts, turn)

    async def sign(
        self, lane: Lane[AnyReply], kind: str, wanted: Request, attempts: Attempts
    ) -> Request:
        """What is to be sent now. Waits if the origin asked for that."""
        if self._settings.request_payer:
            wanted = wanted.with_headers({"x-oss-request-payer": "requester"})
        signed = await attempts.sign(wanted)
        if self._pace.share < 1:
            lane.narrow(self._pace.share)
            if pause_s := self._pace.wait_s(trio.current_time()):
                await trio.sleep(pause_s)
        lane.counts[kind] += 1
        return signed

    async def judge(self, lane: Lane[AnyReply], reply: AnyReply) -> None:
        """Learn from an answer; raises what an unsuccessful one means."""
        if reply.status < 500:
            self.outage.answered(trio.current_time())
        if reply.status >= 300:
            raise await self._refusal(lane, reply)
        self._succeeded(lane)

    def _succeeded(self, lane: Lane[AnyReply]) -> None:
        if self._pace.share < 1:
            with self._pace_lock:
                self._pace.succeeded(trio.current_time())
            lane.narrow(self._pace.share)

    async def _refusal(self, lane: Lane[AnyReply], answer: Reply) -> OriginError:
        body = b""
        with trio.move_on_after(ERROR_BODY_S), suppress(OriginError):
            body = await answer.read(MAX_ERROR_BYTES)
        error = error_responses.error_from(
            answer.status, answer.headers, body, self._signer.key_source
        )
        if isinstance(error, ClockSkewed):
            self._signer.correct_clock(answer.headers.get("date", ""))
        if isinstance(error, Throttled):
            lane.counts["throttled"] += 1
            with self._pace_lock:
                self._pace.throttled(trio.current_time())
            lane.narrow(self._pace.share)
        return error

    def attempts(self, lane: Lane[AnyReply], what: str) -> Attempts:
        """The attempts at the operation that messages call ``what``."""
        timeout_s, signer, counts = self._settings.timeout_s, self._signer, lane.counts
        return Attempts(what, timeout_s, signer, counts, self._jitter, self.outage)


class _Sending(Generic[AnyReply]):
    """No generator: it is on the way of every range."""

    def __init__(
        self,
        sender: Sender,
        lane: Lane[AnyReply],
        kind: str,
        wanted: Request,
        attempts: Attempts,
        turn: Turn,
    ) -> None:
        self._sender = sender
        self._lane = lane
        self._kind = kind
        self._wanted = wanted
        self._attempts = attempts
        self._turn = turn

    async def __aenter__(self) -> AnyReply:
        sender, lane = self._sender, self._lane
        signed = await sender.sign(lane, self._kind, self._wanted, self._attempts)
        sent_at = trio.current_time()
        self._turn.listen()
        self._asking = lane.asker.send(signed)
        reply = await self._asking.__aenter__()
        try:
            log_answer(signed, reply.status, reply.headers, trio.current_time() - sent_at)
            await sender.judge(lane, reply)
        except BaseException as error:
            await self._asking.__aexit__(type(error), error, error.__traceback__)
            raise
        return reply

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._asking.__aexit__(kind, error, traceback)


def _transport(settings: ClientSettings, context: ssl.SSLContext) -> Transport:
    return Transport(
        settings.endpoint.base_url,
        connections=settings.metadata_connections + SPARE_CONNECTIONS,
        silence_s=silence_s(settings.timeout_s),
        context=context,
        proxy=settings.proxy,
    )


def _exchanges(settings: ClientSettings, context: ssl.SSLContext) -> Exchanges:
    return Exchanges(
        Dialer(settings.endpoint, context, settings.proxy),
        connections=settings.connections + SPARE_CONNECTIONS,
        silence_s=silence_s(settings.timeout_s),
    )
