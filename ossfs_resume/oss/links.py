"""Connections that never make their reader wait for what is not there: the floor of the data lane.

A link hands bytes over synchronously, into memory that its reader chose (`receive_now`), and waits
only on request (`wait`). So a body goes from the socket into its place with one system call a piece
and nothing in between. What holds for every link:

- One exchange at a time uses it.
- Only `send` and `wait` can be cancelled, and `wait` has taken nothing then.
- `close` never awaits, so a link cannot be lost between two awaits.
- What goes wrong is an OSError.
"""

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import trio
from trio.lowlevel import wait_readable, wait_writable

from ossfs_resume.oss import network
from ossfs_resume.oss.endpoint import Endpoint
from ossfs_resume.oss.network import BulkStream, SecureStream
from ossfs_resume.oss.proxy import Proxy

KEEPALIVE_S = 45.0
"""OSS closes idle connections; the SDKs drop theirs after 50 and 60 s."""


class Link(Protocol):
    """A connection with the origin, or with the proxy before it."""

    async def send(self, data: bytes) -> None:
        """All of ``data``."""

    def receive_now(self, view: memoryview) -> int | None:
        """How many bytes were put into ``view``, which is not empty; 0 at the end of the stream,
        None if there is nothing yet."""

    async def wait(self) -> None:
        """Return when `receive_now`, which had nothing, may have something."""

    def is_readable(self) -> bool:
        """Whether bytes, or the end, are there: of a link that idles it means that it is over."""

    def close(self) -> None:
        """At once; whoever waits is let go."""


class PlainLink:
    """Over TCP."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection

    async def send(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[self._socket.send(left) :]
            except BlockingIOError:
                await wait_writable(self._socket)

    def receive_now(self, view: memoryview) -> int | None:
        try:
            return self._socket.recv_into(view)
        except BlockingIOError:
            return None

    async def wait(self) -> None:
        await wait_readable(self._socket)

    def is_readable(self) -> bool:
        return _has_something(self)

    def close(self) -> None:
        _close(self._socket)


class TlsLink:
    """TLS over TCP, by OpenSSL on the socket itself: records are decrypted into their place."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self._socket = connection
        self._wants_to_write = False

    @classmethod
    async def open(cls, connection: socket.socket, context: ssl.SSLContext, name: str) -> "TlsLink":
        """The handshake. ``connection`` is closed if it fails. Raises OSError."""
        connection.setblocking(False)
        try:
            secure = context.wrap_socket(
                connection, server_hostname=name, do_handshake_on_connect=False
            )
        except BaseException:
            connection.close()
            raise
        try:
            while await _is_wanting(secure.do_handshake, secure):
                pass
        except BaseException:
            _close(secure)
            raise
        return cls(secure)

    async def send(self, data: bytes) -> None:
        left = memoryview(data)

        def send() -> None:
            nonlocal left
            left = left[self._socket.send(left) :]

        while left:
            await _is_wanting(send, self._socket)

    def receive_now(self, view: memoryview) -> int | None:
        """All records that are there, as far as there is room: each call gives one at most."""
        taken = 0
        try:
            while taken < len(view) and (count := self._socket.recv_into(view[taken:])):
                taken += count
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            self._wants_to_write = isinstance(error, ssl.SSLWantWriteError)
            return taken or None
        except OSError:
            if not taken:
                raise  # else the next call comes here again
        return taken

    async def wait(self) -> None:
        await (wait_writable if self._wants_to_write else wait_readable)(self._socket)

    def is_readable(self) -> bool:
        return _has_something(self)  # not on the socket: session tickets come late

    def close(self) -> None:
        _close(self._socket)


class StreamLink:
    """Over any stream of trio: TLS inside the TLS of a proxy, which no socket can do alone."""

    def __init__(self, stream: SecureStream) -> None:
        self._stream = stream
        self._held = memoryview(b"")
        self._has_ended = False

    async def send(self, data: bytes) -> None:
        with network.os_errors():
            await self._stream.send_all(data)

    def receive_now(self, view: memoryview) -> int | None:
        count = min(len(view), len(self._held))
        view[:count], self._held = self._held[:count], self._held[count:]
        return count or (0 if self._has_ended else None)

    async def wait(self) -> None:
        with network.os_errors():
            data = await network.receive(self._stream)
        self._held, self._has_ended = memoryview(data), not data

    def is_readable(self) -> bool:
        return bool(self._held) or network.is_readable(self._stream)

    def close(self) -> None:
        network.close_now(self._stream)


@dataclass(frozen=True, slots=True)
class Dialer:
    """Opens links to one endpoint, directly or through its proxy."""

    endpoint: Endpoint
    context: ssl.SSLContext
    proxy: Proxy | None = None

    @property
    def is_secure(self) -> bool:
        """Whether the origin is spoken to by TLS, through a tunnel if there is a proxy."""
        return self.endpoint.scheme == "https"

    async def dial(self) -> Link:
        """A new link. Raises OSError."""
        host, port = self.endpoint.request_host, self.endpoint.port
        with network.os_errors():
            stream: BulkStream | SecureStream
            if self.proxy is None:
                stream = await network.open_tcp(host, port)
            else:
                tunnel_to = (host, port) if self.is_secure else None
                stream = await network.open_through(self.proxy, self.context, tunnel_to)
            if isinstance(stream, BulkStream):
                connection = stream.detach()
                if self.is_secure:
                    return await TlsLink.open(connection, self.context, host)
                return PlainLink(connection)
            if self.is_secure:
                stream = await network.start_tls(stream, self.context, host)
            return StreamLink(stream)


class Links:
    """The links that idle; the one that was used last is used next, so that the others may go."""

    def __init__(self, dialer: Dialer, most: int) -> None:
        self._dialer = dialer
        self._most = most
        self._idle: list[tuple[float, Link]] = []

    def __len__(self) -> int:
        return len(self._idle)

    def take(self) -> Link | None:
        """One that idles and seems to be alive."""
        while self._idle:
            since, link = self._idle.pop()
            if trio.current_time() - since < KEEPALIVE_S and not link.is_readable():
                return link
            link.close()
        return None

    async def dial(self) -> Link:
        """A new one. Raises OSError."""
        return await self._dialer.dial()

    def give_back(self, link: Link) -> None:
        """``link`` idles from now on."""
        now = trio.current_time()
        self._idle.append((now, link))
        while len(self._idle) > self._most or now - self._idle[0][0] >= KEEPALIVE_S:
            self._idle.pop(0)[1].close()

    def close(self) -> None:
        """Close all of them."""
        while self._idle:
            self._idle.pop()[1].close()


def _has_something(link: Link) -> bool:
    """What it takes is lost, which is no loss: such a link is closed."""
    try:
        return link.receive_now(memoryview(bytearray(1))) is not None
    except OSError:
        return True


def _close(connection: socket.socket) -> None:
    with suppress(RuntimeError):  # outside of trio nobody can be waiting
        trio.lowlevel.notify_closing(connection)
    connection.close()


async def _is_wanting(act: Callable[[], None], connection: ssl.SSLSocket) -> bool:
    """``act``; or, True, wait until it may be tried again."""
    try:
        act()
    except ssl.SSLWantReadError:
        await wait_readable(connection)
    except ssl.SSLWantWriteError:
        await wait_writable(connection)
    else:
        return False
    return True
