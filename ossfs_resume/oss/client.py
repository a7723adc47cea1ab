"""The bucket: listings, metadata, and ranges of exactly one version of an object.

Two lanes, each with its own connections and its own limit: metadata, and data. However many ranges
stall, a listing gets through. Within a lane requests are served in the order they came.

Every operation retries what another attempt may cure, signing anew each time. A metadata operation
has one budget of time from its call to its end. A range has a budget of time *without progress*: it
continues after the last byte delivered, and each byte renews the budget.
"""

import logging
import random
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from math import inf
from types import TracebackType
from typing import TypeVar

import trio

from ossfs_resume.errors import ClockSkewed, OriginError, OriginTimeout
from ossfs_resume.oss import refusal, request, wire
from ossfs_resume.oss.attempts import Attempts
from ossfs_resume.oss.credentials import CredentialsProvider
from ossfs_resume.oss.endpoint import Endpoint
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.oss.request import Request
from ossfs_resume.oss.signer import SignatureVersion, Signer
from ossfs_resume.oss.transport import Answer, Transport, tls_context

log = logging.getLogger(__name__)

METADATA_ATTEMPT_S = 60.0
"""Longest single attempt at a metadata call, for an origin that sends a byte now and then."""

SILENCES_PER_BUDGET = 3
"""A connection that falls silent is given up early enough for two more attempts."""

ERROR_BODY_S = 5.0
"""Longest wait for the text of an error whose status has arrived."""

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


@dataclass(frozen=True, slots=True)
class ClientStatistics:
    """Counts since the client was made. ``errors`` are failed attempts; an object that does
    not exist is no failure."""

    list_requests: int = 0
    head_requests: int = 0
    range_requests: int = 0
    bytes_received: int = 0
    retries: int = 0
    errors: int = 0


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
        return ClientStatistics(**self._counts)

    async def list_page(
        self, prefix: str, *, token: str = "", delimiter: str = "/", max_keys: int = 1000
    ) -> ListPage:
        """One page of the keys below ``prefix``; ``token`` is the one before's ``next_token``."""
        wanted = request.list_request(
            self._endpoint, prefix, token=token, delimiter=delimiter, max_keys=max_keys
        )
        return await self._call("list_requests", wanted, _parse_listing)

    async def head(self, key: str) -> ObjectMeta:
        """The current version of ``key``. Raises NotFound if there is none."""

        async def parse(answer: Answer) -> ObjectMeta:
            return wire.parse_meta(key, answer.headers)

        return await self._call("head_requests", request.head_request(self._endpoint, key), parse)

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
            while True:
                try:
                    wanted = request.range_request(self._endpoint, meta, position, stop)
                    async with self._send(self._data, "range_requests", wanted, attempts) as answer:
                        wire.check_range(meta, position, stop, answer.status, answer.headers)
                        async for chunk in answer:
                            await deliver(chunk)
                            position += len(chunk)
                            attempts.progress()
                            self._counts["bytes_received"] += len(chunk)
                        return wire.parse_crc64(answer.headers)
                except OriginError as error:
                    await attempts.wait(error)

    async def _call(self, kind: str, wanted: Request, judge: Judge[T]) -> T:
        """A metadata operation: queue, attempts and the waits between them share one budget."""
        attempts = self._attempts(f"{wanted.method} {wanted.resource!r}")
        budget_s = self._settings.timeout_s or inf
        with trio.move_on_after(budget_s):
            async with self._metadata.slots:
                while True:
                    try:
                        return await self._attempt(kind, wanted, attempts, judge)
                    except OriginError as error:
                        await attempts.wait(error)
        timeout = OriginTimeout(f"{attempts.what}: no answer within {budget_s:g} s")
        raise attempts.last_error or timeout

    async def _attempt(self, kind: str, wanted: Request, attempts: Attempts, judge: Judge[T]) -> T:
        with trio.move_on_after(METADATA_ATTEMPT_S):
            async with self._send(self._metadata, kind, wanted, attempts) as answer:
                return await judge(answer)
        raise OriginTimeout(f"{attempts.what}: not answered within {METADATA_ATTEMPT_S:g} s")

    @asynccontextmanager
    async def _send(
        self, lane: "_Lane", kind: str, wanted: Request, attempts: Attempts
    ) -> AsyncIterator[Answer]:
        """One attempt; yields a successful answer and raises what an unsuccessful one means."""
        signed = await attempts.sign(wanted)
        self._counts[kind] += 1
        sent_at = trio.current_time()
        async with lane.transport.send(signed) as answer:
            elapsed_s = trio.current_time() - sent_at
            request_id = answer.headers.get("x-oss-request-id", "none")
            what = f"{wanted.method} {wanted.target}"
            log.debug("%s: %d, %.3f s, id %s", what, answer.status, elapsed_s, request_id)
            if answer.status >= 300:
                raise await self._refusal(answer)
            yield answer

    async def _refusal(self, answer: Answer) -> OriginError:
        body = b""
        with trio.move_on_after(ERROR_BODY_S), suppress(OriginError):
            body = await answer.read(wire.MAX_ERROR_BYTES)
        error = refusal.error_from(answer.status, answer.headers, body)
        if isinstance(error, ClockSkewed):
            self._signer.correct_clock(answer.headers.get("date", ""))
        return error

    def _attempts(self, what: str) -> Attempts:
        return Attempts(what, self._settings.timeout_s, self._signer, self._counts, self._jitter)


class _Lane:
    """A pool of connections and the queue before it, which is fair and survives cancellation."""

    def __init__(self, settings: ClientSettings, connections: int, context: ssl.SSLContext) -> None:
        self.slots = trio.Semaphore(connections)
        self.transport = Transport(
            settings.endpoint.base_url,
            connections=connections,
            silence_s=settings.timeout_s / SILENCES_PER_BUDGET or inf,
            context=context,
        )


async def _parse_listing(answer: Answer) -> ListPage:
    return wire.parse_listing(await answer.read(wire.MAX_LISTING_BYTES))
