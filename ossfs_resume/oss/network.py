"""TCP and TLS connections, opened directly or through a proxy, and read in large pieces.

`links` goes on with their sockets where it can. Metadata, and TLS within the TLS of a proxy, is
read from the streams: there every piece passes through layers of Python, so the TLS records that
one receive brought are taken together.
"""

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import trio

from ossfs_resume.oss.error_text import reason_of
from ossfs_resume.oss.proxy import WANTS_A_USER, Proxy

RECEIVE_BYTES = 1 << 19
_MOST_HEAD_BYTES = 1 << 16
_RECORD_BYTES = 1 << 14  # the longest plaintext of a TLS record (RFC 8446, 5.1)


class BulkStream(trio.abc.Stream):
    """A TCP connection whose reader gets up to half a mebibyte, however much it asks for.

    A caller that passes ``max_bytes`` must be ready for more; ``trio.SSLStream`` and h11 are.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self._stream.receive_some(RECEIVE_BYTES)

    async def receive_at_most(self, most: int) -> bytes:
        """What has arrived, at least one byte and ``most`` at most; empty at the end."""
        return await self._stream.receive_some(most)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def is_readable(self) -> bool:
        """Whether bytes or the end of the stream wait in the socket."""
        return self._stream.socket.is_readable()

    def detach(self) -> socket.socket:
        """The socket below, for whoever goes on without the stream."""
        return socket.socket(fileno=self._stream.socket.detach())

    def close_now(self) -> None:
        """Close it without awaiting anything."""
        self._stream.socket.close()


SecureStream = trio.SSLStream[Any]
"""TLS over a connection, or over TLS with a proxy."""

Link = BulkStream | SecureStream


async def open_tcp(host: str, port: int) -> BulkStream:
    """A connection to the first address of ``host`` that answers (RFC 8305). Raises OSError."""
    stream = BulkStream(await trio.open_tcp_stream(host, port))
    await _close_if_cancelled(stream)
    return stream


async def open_through(
    proxy: Proxy, context: ssl.SSLContext, tunnel_to: tuple[str, int] | None
) -> Link:
    """A connection to ``proxy``, or through it to ``tunnel_to`` (host and port). Raises OSError."""
    tcp = await open_tcp(proxy.host, proxy.port)
    stream = await _proxy_tls(tcp, context, proxy.host) if proxy.is_secure else tcp
    if tunnel_to is not None:
        await open_tunnel(stream, proxy.connect_request(*tunnel_to))
    return stream


async def _proxy_tls(stream: BulkStream, context: ssl.SSLContext, host: str) -> SecureStream:
    try:
        return await start_tls(stream, context, host)
    except trio.BrokenResourceError as error:
        text = f"TLS with the proxy: {reason_of(error)}; is it an https proxy, do you trust it?"
    # Outside of the handler: what is wrong with the proxy must not be taken for the origin's TLS.
    raise ConnectionError(f"{text} For a certificate of your own give --ca-bundle FILE")


async def open_tunnel(stream: Link, request: bytes) -> None:
    """Has a proxy connect ``stream`` with the origin (RFC 9110, 9.3.6); closed on any failure.

    Raises OSError with what the proxy said.
    """
    try:
        await stream.send_all(request)
        head = b""
        while b"\r\n\r\n" not in head:
            more = await receive(stream)
            if not more or len(head) > _MOST_HEAD_BYTES:
                raise ConnectionError("the proxy ended the connection instead of a tunnel")
            head += more
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    status = head.split(b"\r\n", 1)[0].decode("latin-1")
    if not re.match(r"HTTP/1\.[01] 2\d\d", status):
        await trio.aclose_forcefully(stream)
        remedy = f"; {WANTS_A_USER}" if status.split()[1:2] == ["407"] else ""
        raise ConnectionError(f"the proxy refused: {status[:100]}{remedy}")


async def start_tls(stream: Link, context: ssl.SSLContext, hostname: str) -> SecureStream:
    """TLS over ``stream``, which is closed on any failure. Raises trio.BrokenResourceError."""
    secure = trio.SSLStream(stream, context, server_hostname=hostname, https_compatible=True)
    try:
        await secure.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    await _close_if_cancelled(secure)
    return secure


def is_readable(stream: Link) -> bool:
    """Whether bytes or the end of the stream wait in the socket, whatever lies above it."""
    return _tcp(stream).is_readable()


def close_now(stream: Link) -> None:
    """Close a connection without awaiting anything, and without a farewell."""
    _tcp(stream).close_now()


def _tcp(stream: Link) -> BulkStream:
    while isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    return stream


@contextmanager
def os_errors() -> Iterator[None]:
    """What trio's streams say of a broken connection, as the OSError that it is."""
    try:
        yield
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise ConnectionError(reason_of(error)) from error


async def receive(stream: Link, most: int = RECEIVE_BYTES) -> bytes:
    """What has arrived, at least one byte and about ``most`` at most; empty at the end.

    Raises trio.BrokenResourceError and trio.ClosedResourceError.
    """
    if isinstance(stream, BulkStream):
        return await stream.receive_at_most(most)
    first = await stream.receive_some(_RECORD_BYTES)
    return bytes(first) + _decrypted(stream, most - len(first)) if first else b""


def _decrypted(stream: SecureStream, most: int) -> bytes:
    """The records that have been received already, without waiting for another."""
    # There is no public way to ask without waiting. httpcore leans on the same attribute.
    tls: ssl.SSLObject = stream._ssl_object
    records: list[bytes] = []
    size = 0
    try:
        while size < most and (record := tls.read(_RECORD_BYTES)):
            records.append(record)
            size += len(record)
    except ssl.SSLError:
        pass  # incomplete, or broken: the next receive waits for the rest, or raises the error
    return b"".join(records)


async def _close_if_cancelled(stream: trio.abc.Stream) -> None:
    """Delivers a pending cancellation here and not in the caller.

    httpcore loses a connection, and its place in the pool for ever, if the task is cancelled after
    connecting and before the request: with no cancellation pending here, none can come up there,
    since nothing waits in between.
    """
    try:
        await trio.lowlevel.checkpoint_if_cancelled()
    except trio.Cancelled:
        await trio.aclose_forcefully(stream)
        raise
