"""The bucket: listings, metadata, and ranges of exactly one version of an object.

Two lanes, each with its own connections and its own limit: metadata, and data. However many ranges
stall, a listing gets through. Within a lane requests are served in the order they came.

Every operation retries what another attempt may cure, signing anew each time. A metadata operation
has one budget of time from its call to its end. A range has a budget of time *without progress*: it
continues after the last byte delivered, and each byte renews the budget.

All requests share one pace: when one is told to slow down, fewer run at once in both lanes and the
next ones wait (`pacing`). What is unusually late, or falls silent in its middle, is asked for a
second time (`hedging`).
"""

import logging
import random
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from types import TracebackType
from typing import TypeVar

import trio

from ossfs_resume.errors import BadAnswer, ClockSkewed, OriginError, OriginTimeout, Throttled
from ossfs_resume.oss import listing, range_answer, refusal, request, wire
from ossfs_resume.oss.attempts import Attempts
from ossfs_resume.oss.credentials import CredentialsProvider
from ossfs_resume.oss.endpoint import Endpoint
from ossfs_resume.oss.hedging import Hedges, Turn, race
from ossfs_resume.oss.models import ListPage, ObjectMeta, Symlink
from ossfs_resume.oss.pacing import Pace
from ossfs_resume.oss.proxy import Proxy
from ossfs_resume.oss.request import Request
from ossfs_resume.oss.signer import SignatureVersion, Signer
from ossfs_resume.oss.transport import Answer, Transport, tls_context

log = logging.getLogger(__name__)

METADATA_ATTEMPT_S = 60.0
"""Longest single attempt at a metadata call, for an origin that sends a byte now and then."""

SILENCES_PER_BUDGET = 3
"""A connection that falls silent is given up early enough for two more attempts,"""

LEAST_SILENCE_S = 5.0
"""but not before an origin that is merely slow would have answered."""

ERROR_BODY_S = 5.0
"""Longest wait for the text of an error whose status has arrived."""

SPARE_CONNECTIONS = 2
"""Of either lane, for second attempts; more never run at once."""

MAX_VERSIONS = 10_000
"""Version ids remembered of what is being read."""

MAX_FAILING = 1000
"""Versions of which the last failure is remembered."""

T = TypeVar("T")
Judge = Callable[[Answer], Awaitable[T]]
Deliver = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """``timeout_s``: seconds a metadata call may take and a range may go without progress (0: no
    limit). ``connections`` and ``metadata_connections``: requests at a time in either lane."""

    endpoint: Endpoint
    timeout_s: float = 60.0
    connections: int = 32
    metadata_connections: int = 16
    signature: SignatureVersion = "v4"
    proxy: Proxy | None = None
    request_payer: bool = False
    """Agree to pay for requests to a bucket whose owner does not."""


@dataclass(frozen=True, slots=True)
class ClientStatistics:
    """Counts since the client was made. ``errors`` are failed attempts; an object that does
    not exist is no failure."""

    list_requests: int = 0
    head_requests: int = 0
    link_requests: int = 0
    range_requests: int = 0
    bytes_received: int = 0
    retries: int = 0
    errors: int = 0
    throttled: int = 0
    hedged: int = 0
    concurrency: int = 0
    """Ranges at once that the origin bears at this moment."""


class OssClient:
    """One bucket. Use it as an asynchronous context manager: leaving it closes all connections.

    Any operation may be cancelled at any time. All raise OriginError; ``errors`` lists its kinds.
    """

    def __init__(
        self,
        settings: ClientSettings,
        credentials: CredentialsProvider,
        *,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """``clock`` returns Unix seconds, ``jitter`` a number in [0, 1)."""
        self.bucket = settings.endpoint.bucket
        self._settings = settings
        self._endpoint = settings.endpoint
        self._signer = Signer(settings.endpoint, settings.signature, credentials, clock)
        self._jitter = jitter
        self._counts: Counter[str] = Counter()
        context = context or tls_context()
        self._versions: dict[tuple[str, str], str] = {}
        self._failing: dict[tuple[str, str], str] = {}
        self._pace = Pace(settings.connections)
        self._data = _Lane(settings, settings.connections, context)
        self._metadata = _Lane(settings, settings.metadata_connections, context)

    async def __aenter__(self) -> "OssClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._data.transport.aclose()
        await self._metadata.transport.aclose()

    def statistics(self) -> ClientStatistics:
        """The counts of this moment."""
        hedged = self._data.hedges.started + self._metadata.hedges.started
        return ClientStatistics(**self._counts, hedged=hedged, concurrency=self.concurrency())

    def concurrency(self) -> int:
        """Ranges at once that the origin bears at this moment; less after "slow down"."""
        return int(self._pace.width)

    async def list_page(
        self, prefix: str, *, token: str = "", delimiter: str = "/", max_keys: int = 1000
    ) -> ListPage:
        """One page of the keys below ``prefix``; ``token`` is the one before's ``next_token``."""
        wanted = request.list_request(
            self._endpoint, prefix, token=token, delimiter=delimiter, max_keys=max_keys
        )

        async def parse(answer: Answer) -> ListPage:
            page = listing.parse_listing(await answer.read(listing.MAX_LISTING_BYTES))
            return listing.check_listing(page, prefix, delimiter)

        page = await self._call("list_requests", wanted, parse)
        if token and page.next_token == token:
            raise BadAnswer(f"the listing of {prefix!r} goes on where it began: no end to it")
        return page

    async def head(self, key: str) -> ObjectMeta:
        """The current version of ``key``. Raises NotFound if there is none."""

        async def parse(answer: Answer) -> ObjectMeta:
            return wire.parse_meta(key, answer.headers)

        return await self._call("head_requests", request.head_request(self._endpoint, key), parse)

    async def read_link(self, key: str) -> Symlink:
        """The symlink object itself. Raises NotFound; BadRequest if it is none."""

        async def parse(answer: Answer) -> Symlink:
            return wire.parse_symlink(answer.headers)

        wanted = request.symlink_request(self._endpoint, key)
        return await self._call("link_requests", wanted, parse)

    def failing(self, meta: ObjectMeta) -> str:
        """Why the last request for a range of this version failed; empty once one brought bytes.

        Whoever stops waiting knows only that nothing came; this is what the origin said.
        """
        return self._failing.get((meta.key, meta.etag), "")

    def superseded(self, meta: ObjectMeta) -> ObjectMeta | None:
        """How to go on reading a version that is not the current one; None if there is no way.

        By its version id if the bucket has told one; an appendable object may just have grown.
        """
        if meta.access != "current":
            return None
        version_id = meta.version_id or self._versions.get((meta.key, meta.etag), "")
        if version_id:
            return replace(meta, version_id=version_id, access="pinned")
        return replace(meta, access="grown") if meta.object_type == "Appendable" else None

    async def read_range(
        self, meta: ObjectMeta, start: int, stop: int, deliver: Deliver
    ) -> int | None:
        """Hands the bytes ``[start, stop)`` of the version ``meta`` to ``deliver``, in order.

        Returns the CRC-64 of the whole object, None if the origin tells none. Failures are retried
        in here, from the byte after the last one delivered. Raises ObjectChanged and NotFound at
        once, and the last TransientError after ``timeout_s`` without a byte; what has been
        delivered until then is good. What ``deliver`` raises ends the operation; it must not be an
        OriginError, which would be taken for one of this request.
        """
        if start >= stop:
            return meta.crc64
        async with self._data.slots:
            attempts = self._attempts(f"bytes [{start}, {stop}) of {meta.key!r}")
            position = start

            async def receive(turn: Turn) -> int | None:
                nonlocal position
                wanted = request.range_request(self._endpoint, meta, position, stop)
                kind = "range_requests"
                async with self._send(self._data, kind, wanted, attempts, turn) as answer:
                    range_answer.check_range(meta, position, stop, answer.status, answer.headers)
                    self._note_version(meta, answer)
                    async for chunk in answer:
                        if not turn.hear():
                            return None
                        self._failing.pop((meta.key, meta.etag), None)
                        await deliver(chunk)
                        position += len(chunk)
                        attempts.progress()
                        self._counts["bytes_received"] += len(chunk)
                        turn.listen()
                    return None if meta.access == "grown" else wire.parse_crc64(answer.headers)

            while True:
                try:
                    return await race(receive, self._data.hedges)
                except OriginError as error:
                    self._note_failure(meta, error)
                    await attempts.wait(error)

    def _note_failure(self, meta: ObjectMeta, error: OriginError) -> None:
        self._failing.pop((meta.key, meta.etag), None)
        # Text: an exception would keep its frames, and what they had received, for as long.
        self._failing[meta.key, meta.etag] = str(error)
        if len(self._failing) > MAX_FAILING:
            del self._failing[next(iter(self._failing))]

    def _note_version(self, meta: ObjectMeta, answer: Answer) -> None:
        if version_id := answer.headers.get("x-oss-version-id", ""):
            self._versions.pop((meta.key, meta.etag), None)
            self._versions[meta.key, meta.etag] = version_id
            if len(self._versions) > MAX_VERSIONS:
                del self._versions[next(iter(self._versions))]

    async def _call(self, kind: str, wanted: Request, judge: Judge[T]) -> T:
        """A metadata operation: queue, attempts and the waits between them share one budget."""
        attempts = self._attempts(f"{wanted.method} {wanted.resource!r}")
        budget_s = self._settings.timeout_s or inf
        attempt = partial(self._attempt, kind, wanted, attempts, judge)
        with trio.move_on_after(budget_s):
            async with self._metadata.slots:
                while True:
                    try:
                        return await race(attempt, self._metadata.hedges)
                    except OriginError as error:
                        await attempts.wait(error)
        timeout = OriginTimeout(f"{attempts.what}: no answer within {budget_s:g} s")
        raise attempts.last_error or timeout

    async def _attempt(
        self, kind: str, wanted: Request, attempts: Attempts, judge: Judge[T], turn: Turn
    ) -> T:
        with trio.move_on_after(METADATA_ATTEMPT_S):
            async with self._send(self._metadata, kind, wanted, attempts, turn) as answer:
                return await judge(answer)
        raise OriginTimeout(f"{attempts.what}: not answered within {METADATA_ATTEMPT_S:g} s")

    @asynccontextmanager
    async def _send(
        self, lane: "_Lane", kind: str, wanted: Request, attempts: Attempts, turn: Turn
    ) -> AsyncIterator[Answer]:
        """One attempt; yields a successful answer and raises what an unsuccessful one means."""
        if self._settings.request_payer:
            wanted = wanted.with_headers({"x-oss-request-payer": "requester"})
        signed = await attempts.sign(wanted)
        if pause_s := self._pace.wait_s(trio.current_time()):
            await trio.sleep(pause_s)
        self._counts[kind] += 1
        sent_at = trio.current_time()
        turn.listen()
        async with lane.transport.send(signed) as answer:
            elapsed_s = trio.current_time() - sent_at
            request_id = answer.headers.get("x-oss-request-id", "none")
            what = f"{wanted.method} {wanted.target}"
            log.debug("%s: %d, %.3f s, id %s", what, answer.status, elapsed_s, request_id)
            if answer.status >= 300:
                raise await self._refusal(answer)
            self._pace.succeeded(trio.current_time())
            self._keep_pace()
            yield answer

    async def _refusal(self, answer: Answer) -> OriginError:
        body = b""
        with trio.move_on_after(ERROR_BODY_S), suppress(OriginError):
            body = await answer.read(wire.MAX_ERROR_BYTES)
        error = refusal.error_from(answer.status, answer.headers, body)
        if isinstance(error, ClockSkewed):
            self._signer.correct_clock(answer.headers.get("date", ""))
        if isinstance(error, Throttled):
            self._counts["throttled"] += 1
            self._pace.throttled(trio.current_time())
            self._keep_pace()
        return error

    def _keep_pace(self) -> None:
        for lane in (self._data, self._metadata):
            lane.narrow(self._pace.share)

    def _attempts(self, what: str) -> Attempts:
        return Attempts(what, self._settings.timeout_s, self._signer, self._counts, self._jitter)


class _Lane:
    """A pool of connections and the queue before it, which is fair and survives cancellation."""

    def __init__(self, settings: ClientSettings, connections: int, context: ssl.SSLContext) -> None:
        self.slots = trio.CapacityLimiter(connections)
        self.hedges = Hedges(SPARE_CONNECTIONS)
        self._connections = connections
        self.transport = Transport(
            settings.endpoint.base_url,
            connections=connections + SPARE_CONNECTIONS,
            silence_s=_silence_s(settings.timeout_s),
            context=context,
            proxy=settings.proxy,
        )

    def narrow(self, share: float) -> None:
        """Let ``share`` of the usual number of requests run at once, one at least."""
        self.slots.total_tokens = max(int(self._connections * share), 1)


def _silence_s(budget_s: float) -> float:
    """Seconds without a byte after which a connection is given up; infinite without a budget."""
    return min(max(budget_s / SILENCES_PER_BUDGET, LEAST_SILENCE_S), budget_s) or inf
