"""Requests out, answers in, over a pool of HTTP/1.1 connections. The only module that knows httpx.

httpx's transport is driven without its client: no redirects, no cookies, no header that was not
asked for, no decoding of the body, and the request target goes out byte for byte. Every wait has a
deadline, and every httpx exception becomes one of ours in ``_translated``.

Leaving an answer early must not leak. httpx and httpcore stream a body through nested asynchronous
generators; closing the outermost abandons the inner ones to the garbage collector, which cannot
close a connection in trio. So an unfinished answer is read once more with a cancellation pending:
it ends the innermost generator, and all others end in order.
"""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import trio

from ossfs_resume.errors import (
    BadAnswer,
    BadRequest,
    Disconnected,
    OriginError,
    OriginTimeout,
    SettingsError,
    TlsFailed,
    Unreachable,
)
from ossfs_resume.oss.connections import TOO_LARGE, Pool, awaiting_head, open_pool
from ossfs_resume.oss.error_text import explain_tls, reason_of
from ossfs_resume.oss.proxy import Proxy
from ossfs_resume.oss.request import Request

CONNECT_S = 10.0
SILENCE_S = 20.0
"""Longest wait for the first byte of an answer, and from one byte to the next."""

TRICKLE_BYTES = 1024
"""A body that brings no more than this in the time of a silence is as good as silent."""


class Answer:
    """Status, headers by lower-case name, and the body as it is sent: iterate over it once."""

    def __init__(self, response: httpx.Response, silence_s: float) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self._response = response
        self._silence_s = silence_s
        self._waited_s = 0.0
        self._trickled = 0
        self.status = response.status_code
        self.headers: Mapping[str, str] = dict(response.headers.items())
        self._chunks = aiter(response.stream)

    def __aiter__(self) -> "Answer":
        return self

    async def __anext__(self) -> bytes:
        self._refuse_to_trickle()
        began = trio.current_time()
        try:
            chunk = await anext(self._chunks)
        except httpx.HTTPError as error:
            raise _translated(error) from error
        self._waited_s += trio.current_time() - began
        self._trickled += len(chunk)
        return chunk

    def _refuse_to_trickle(self) -> None:
        if self._trickled >= TRICKLE_BYTES:
            self._waited_s, self._trickled = 0.0, 0
        elif self._waited_s >= self._silence_s:
            raise OriginTimeout(f"{self._trickled} bytes came in {self._waited_s:.0f} s")

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises BadAnswer if it is longer than ``limit`` bytes."""
        body = bytearray()
        async for chunk in self:
            body += chunk
            if len(body) > limit:
                raise BadAnswer(f"the answer is longer than {limit} bytes", status=self.status)
        return bytes(body)

    async def end(self) -> None:
        """Ends the body wherever it stands; an unfinished one costs its connection."""
        with trio.CancelScope() as scope:
            scope.cancel()
            with suppress(httpx.HTTPError):
                async for _ in self._chunks:
                    pass
        await self._response.aclose()


class Transport:
    """A pool of at most ``connections`` connections to one origin.

    The caller keeps no more requests open than there are connections; a request beyond that fails
    with OriginTimeout instead of waiting for ever.
    """

    def __init__(
        self,
        base_url: str,
        *,
        connections: int,
        silence_s: float,
        context: ssl.SSLContext,
        proxy: Proxy | None = None,
    ) -> None:
        """``silence_s``: the most seconds without a byte, never over SILENCE_S."""
        self._url = httpx.URL(base_url)
        self._where = self._url.netloc.decode() + (f" through the proxy {proxy}" if proxy else "")
        silence, connect = min(silence_s, SILENCE_S), min(silence_s, CONNECT_S)
        self._timeouts = {"connect": connect, "pool": connect, "read": silence, "write": silence}
        self._head_s = connect + silence
        is_secure = self._url.scheme == "https"
        self._forwarder = None if is_secure else proxy
        pool = open_pool(connections, context, proxy, tunnels=is_secure)
        self._pool = _PooledTransport(pool)

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._pool.aclose()

    @property
    def open_connections(self) -> int:
        """Connections in the pool, busy or idle."""
        return self._pool.open_connections

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Answer]:
        """Sends ``request`` and yields the answer as soon as its headers are there.

        Raises Unreachable, OriginTimeout or BadAnswer; iterating over the answer does so too.
        """
        answer = await self._answer(request)
        try:
            yield answer
        finally:
            await answer.end()

    async def _answer(self, request: Request) -> Answer:
        # However often a byte comes: an answer has to begin in a certain time.
        with trio.move_on_after(self._head_s), awaiting_head():
            try:
                response = await self._pool.handle_async_request(self._outgoing(request))
            except httpx.HTTPError as error:
                raise _translated(error, f"{self._where}: ") from error
            return Answer(response, self._timeouts["read"])
        raise OriginTimeout(f"{self._where}: no whole headers within {self._head_s:g} s")

    def _outgoing(self, request: Request) -> httpx.Request:
        headers = [(name.encode(), value.encode()) for name, value in request.headers.items()]
        target = request.target
        if self._forwarder is not None:  # RFC 9112, 3.2.2: a proxy is sent the whole address
            target = f"{self._url.scheme}://{self._url.netloc.decode()}{target}"
            headers += self._forwarder.headers()
        extensions = {"timeout": self._timeouts, "target": target.encode("ascii")}
        return httpx.Request(
            request.method,
            self._url,
            headers=headers,
            content=request.body or None,
            extensions=extensions,
        )


def tls_context(ca_bundle: Path | None = None) -> ssl.SSLContext:
    """Trusts the Mozilla roots (or SSL_CERT_FILE), what the system trusts and ``ca_bundle``.

    Costs 20 ms. Raises SettingsError if a file holds no certificates.
    """
    try:
        context = httpx.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(f"SSL_CERT_FILE or SSL_CERT_DIR: {reason_of(error)}") from error
    context.load_default_certs()
    if ca_bundle is not None:
        try:
            context.load_verify_locations(ca_bundle)
        except OSError as error:
            raise SettingsError(f"--ca-bundle {ca_bundle}: {reason_of(error)}") from error
    return context


def _translated(error: httpx.HTTPError, where: str = "") -> OriginError:
    """``where`` is the origin, as long as it has not begun to answer."""
    text = f"{where}{reason_of(error)}"
    if explained := explain_tls(error):
        return TlsFailed(where + explained)
    match error:
        case httpx.RemoteProtocolError() if "Receive buffer too long" in text or TOO_LARGE in text:
            return BadAnswer(where + TOO_LARGE)
        case httpx.TimeoutException():
            return OriginTimeout(text)
        case httpx.RemoteProtocolError() if "without sending" not in text:
            return BadAnswer(text)
        case httpx.LocalProtocolError():
            # What it says repeats the header, which may be the one with the token.
            return BadRequest(f"{where}the request has a header that HTTP does not allow")
        case httpx.ReadError() | httpx.WriteError() | httpx.RemoteProtocolError() if where:
            return Disconnected(text)
        case _:  # also a connection that ended before the complete answer was sent
            return Unreachable(text)


class _PooledTransport(httpx.AsyncHTTPTransport):
    """httpx offers no parameter for a network backend; its transport needs nothing but a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @property
    def open_connections(self) -> int:
        return len(self._pool.connections)
