"""The pool of connections below the transport: opened directly or through a proxy, read in bulk.

The only module that knows httpcore, which asks a backend for streams and tells it what went wrong
by exceptions of its own; every wait here has the deadline that it was given. An answer that has not
begun has a limit in bytes: a server may send any number of heads before it.
"""

import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import inf
from typing import Any

import httpcore
import trio

from ossfs_resume.oss import network
from ossfs_resume.oss.error_text import reason_of
from ossfs_resume.oss.proxy import Proxy

HEAD_BYTES = 256 << 10
"""Most that is read before an answer has begun. h11 has a limit for one head, but any number of
"100 Continue" may come before it, and taking them apart holds up everybody."""

HEAD_PIECE_BYTES = 64 << 10

TOO_LARGE = "the headers of the answer are too large"

KEEPALIVE_S = 45.0
"""OSS closes idle connections; the SDKs drop theirs after 50 and 60 s."""


@dataclass(slots=True)
class _HeadAllowance:
    bytes_left: int = HEAD_BYTES


_head_allowance: ContextVar[_HeadAllowance | None] = ContextVar("head_allowance", default=None)
"""Of the request that this task waits for; httpcore has no other way to tell a stream."""


Pool = httpcore.AsyncConnectionPool


def open_pool(
    connections: int, context: ssl.SSLContext, proxy: Proxy | None, *, tunnels: bool
) -> Pool:
    """A pool of at most ``connections``; ``tunnels``: through a proxy, and not by way of it."""
    return Pool(
        ssl_context=context,
        max_connections=connections,
        max_keepalive_connections=connections,
        keepalive_expiry=KEEPALIVE_S,
        network_backend=_Backend(proxy, context, tunnels=tunnels),
    )


@contextmanager
def awaiting_head() -> Iterator[None]:
    """What this task receives within is the head of an answer, which has a limit."""
    token = _head_allowance.set(_HeadAllowance())
    try:
        yield
    finally:
        _head_allowance.reset(token)


class _Backend(httpcore.AsyncNetworkBackend):
    """Connections to the origin, or to the proxy before it. httpcore's own proxy classes send the
    target that was set for the origin in their CONNECT request as well, hence this."""

    def __init__(self, proxy: Proxy | None, context: ssl.SSLContext, *, tunnels: bool) -> None:
        self._proxy = proxy
        self._context = context
        self._tunnels = tunnels

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        with _mapped(httpcore.ConnectTimeout, httpcore.ConnectError, timeout):
            if self._proxy is None:
                return _Stream(await network.open_tcp(host, port))
            tunnel_to = (host, port) if self._tunnels else None
            return _Stream(await network.open_through(self._proxy, self._context, tunnel_to))

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: network.Link) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        allowance = _head_allowance.get()
        if allowance is None:
            with _mapped(httpcore.ReadTimeout, httpcore.ReadError, timeout):
                return await network.receive(self._stream)
        if allowance.bytes_left <= 0:
            raise httpcore.RemoteProtocolError(TOO_LARGE)
        with _mapped(httpcore.ReadTimeout, httpcore.ReadError, timeout):
            data = await network.receive(self._stream, HEAD_PIECE_BYTES)
        allowance.bytes_left -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if buffer:
            with _mapped(httpcore.WriteTimeout, httpcore.WriteError, timeout):
                await self._stream.send_all(buffer)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        with _mapped(httpcore.ConnectTimeout, httpcore.ConnectError, timeout):
            name = server_hostname or ""
            return _Stream(await network.start_tls(self._stream, ssl_context, name))

    def get_extra_info(self, info: str) -> Any:
        return network.is_readable(self._stream) if info == "is_readable" else None


@contextmanager
def _mapped(
    timed_out: Callable[[str], Exception], failed: Callable[[str], Exception], seconds: float | None
) -> Iterator[None]:
    try:
        with trio.fail_after(inf if seconds is None else seconds):
            yield
    except trio.TooSlowError as error:
        raise timed_out(f"nothing happened for {seconds:g} s") from error
    except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise failed(reason_of(error)) from error
