"""The bucket: listings, metadata, and ranges of exactly one version of an object.

Two lanes, each with its own connections and its own limit: metadata, and data. However many ranges
stall, a listing gets through. Within a lane requests are served in the order they came (`sender`).

Every operation retries what another attempt may cure, signing anew each time (`sender`). A
metadata operation has one budget of time from its call to its end, a range one that each byte
renews (`range_reader`). What is unusually late, or falls silent in its middle, is asked for a
second time (`hedging`).

A mount that was told to be offline has an `OfflineClient` in its stead.
"""

import random
import ssl
import time
from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from types import TracebackType
from typing import NoReturn, TypeVar

import trio

from ossfs_resume.errors import BadAnswer, NotFound, OriginError, OriginTimeout, Unreachable
from ossfs_resume.loops import Loop
from ossfs_resume.oss import listing, request
from ossfs_resume.oss.credentials import CredentialsProvider
from ossfs_resume.oss.headers import parse_meta, parse_symlink
from ossfs_resume.oss.hedging import Turn
from ossfs_resume.oss.models import ClientStatistics, ListPage, ObjectMeta, Symlink
from ossfs_resume.oss.range_reader import RangeReader, Sink, VersionNotes
from ossfs_resume.oss.request import Request
from ossfs_resume.oss.retry import Attempts
from ossfs_resume.oss.sender import Sender
from ossfs_resume.oss.settings import ClientSettings
from ossfs_resume.oss.signing import Signer
from ossfs_resume.oss.transport import Answer, tls_context


class OfflineClient:
    """Stands where an OssClient would; every request is Unreachable."""

    def statistics(self) -> ClientStatistics:
        """No request was ever sent."""
        return ClientStatistics()

    async def list_page(
        self, prefix: str, *, token: str = "", delimiter: str = "/", max_keys: int = 1000
    ) -> ListPage:
        """Raises Unreachable."""
        _refuse()

    async def head(self, key: str) -> ObjectMeta:
        """Raises Unreachable."""
        _refuse()

    async def read_link(self, key: str) -> Symlink:
        """Raises Unreachable."""
        _refuse()

    def concurrency(self) -> float:
        """Refusals are free."""
        return inf

    def failing(self, meta: ObjectMeta) -> str:
        """Nothing was ever asked for."""
        return ""

    def superseded(self, meta: ObjectMeta) -> ObjectMeta | None:
        """There is no way to any version."""
        return None

    def open_reader(self) -> "OfflineClient":
        """Itself."""
        return self

    async def read_range(self, meta: ObjectMeta, stop: int, sink: Sink) -> int | None:
        """Raises Unreachable."""
        _refuse()


def _refuse() -> NoReturn:
    raise Unreachable("not cached, and --offline sends no request")


METADATA_ATTEMPT_S = 60.0
"""Longest single attempt at a metadata call, for an origin that sends a byte now and then."""

T = TypeVar("T")
Judge = Callable[[Answer], Awaitable[T]]


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
        signer = Signer(settings.endpoint, settings.signature, credentials, clock)
        self._sender = Sender(settings, signer, jitter, context or tls_context())
        self._notes = VersionNotes()
        self._signer = signer
        self._reader: RangeReader | None = None

    async def __aenter__(self) -> "OssClient":
        self._signer.home = Loop.here()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._sender.aclose()

    def statistics(self) -> ClientStatistics:
        """The counts of this moment."""
        return self._sender.statistics()

    def concurrency(self) -> int:
        """Ranges at once that the origin bears at this moment; less after "slow down"."""
        return self._sender.concurrency()

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

        try:
            return await self._call("list_requests", wanted, parse)
        except NotFound as error:  # a gateway's word: where nothing is, a listing is empty
            raise BadAnswer(
                f"the listing of {prefix!r}: {error}",
                status=error.status,
                code=error.code,
                request_id=error.request_id,
                ec=error.ec,
            ) from None

    async def head(self, key: str) -> ObjectMeta:
        """The current version of ``key``. Raises NotFound if there is none."""

        async def parse(answer: Answer) -> ObjectMeta:
            return parse_meta(key, answer.headers)

        return await self._call("head_requests", request.head_request(self._endpoint, key), parse)

    async def read_link(self, key: str) -> Symlink:
        """The symlink object itself. Raises NotFound; BadRequest if it is none."""

        async def parse(answer: Answer) -> Symlink:
            return parse_symlink(answer.headers)

        wanted = request.symlink_request(self._endpoint, key)
        return await self._call("link_requests", wanted, parse)

    def failing(self, meta: ObjectMeta) -> str:
        """Why the last request for a range of this version failed; empty once one brought bytes."""
        return self._notes.failing(meta)

    def superseded(self, meta: ObjectMeta) -> ObjectMeta | None:
        """How to go on reading a version that is not the current one; None if there is no way."""
        return self._notes.superseded(meta)

    def open_reader(self) -> RangeReader:
        """Reads ranges over connections of its own, and may do so in another event loop: a reader
        belongs to the loop that uses it first. Its connections are closed with the client."""
        return RangeReader(self._endpoint, self._sender, self._notes)

    async def read_range(self, meta: ObjectMeta, stop: int, sink: Sink) -> int | None:
        """See `RangeReader.read_range`."""
        if self._reader is None:
            self._reader = self.open_reader()
        return await self._reader.read_range(meta, stop, sink)

    async def _call(self, kind: str, wanted: Request, judge: Judge[T]) -> T:
        """A metadata operation: queue, attempts and the waits between them share one budget."""
        attempts = self._sender.attempts(
            self._sender.metadata, f"{wanted.method} {wanted.resource!r}"
        )
        budget_s = self._settings.timeout_s or inf
        attempt = partial(self._attempt, kind, wanted, attempts, judge)
        with trio.move_on_after(budget_s):
            async with self._sender.metadata.slots:
                while True:
                    try:
                        return await self._sender.metadata.contests.race(attempt)
                    except OriginError as error:
                        await attempts.wait(error)
        timeout = OriginTimeout(f"{attempts.what}: no answer within {budget_s:g} s")
        raise attempts.last_error or timeout

    async def _attempt(
        self, kind: str, wanted: Request, attempts: Attempts, judge: Judge[T], turn: Turn
    ) -> T:
        with trio.move_on_after(METADATA_ATTEMPT_S):
            async with self._sender.send(
                self._sender.metadata, kind, wanted, attempts, turn
            ) as answer:
                return await judge(answer)
        raise OriginTimeout(f"{attempts.what}: not answered within {METADATA_ATTEMPT_S:g} s")
