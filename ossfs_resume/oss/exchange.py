"""A request for bytes and its answer over a link: HTTP/1.1 for the head alone.

h11 writes the request and takes the head of the answer apart; the body, whose length the head has
told, goes from the link into the memory of whoever wants it. h11, httpcore and httpx take two
seconds of CPU for a GiB of body, this none. What may not change:

- The head has a limit in bytes and in time, whatever comes before it.
- A body is as long as was announced: bytes beyond that are never taken, and an early end is an
  error. An answer of uncertain length is refused by `range_answer`, before a byte of it is taken.
- A link is used again only after an answer that was read to its end and wants that too.
- A link that idled may end in the very moment in which it is used again: the same request then goes
  out once more, on a fresh one, and that counts as no failure.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import inf
from types import TracebackType

import h11
import trio

from ossfs_resume.errors import (
    BadAnswer,
    BadRequest,
    Disconnected,
    OriginTimeout,
    TlsFailed,
    Unreachable,
)
from ossfs_resume.oss.connections import HEAD_BYTES, TOO_LARGE
from ossfs_resume.oss.error_text import explain_tls, reason_of
from ossfs_resume.oss.links import Dialer, Link, Links
from ossfs_resume.oss.request import Request
from ossfs_resume.oss.transport import CONNECT_S, SILENCE_S, TRICKLE_BYTES

HEAD_PIECE_BYTES = 16 << 10
"""What is received at a time until the head is complete. The body's first bytes come along, and
are the only ones that are copied."""

LONGEST_HEAD_BYTES = 100 << 10
"""Of one head; httpcore has the same limit for metadata."""


class Exchange:
    """An answer whose head is there: status, headers by lower-case name, and ``left``, how many
    bytes of its body have not been taken yet."""

    def __init__(self, link: Link, silence_s: float) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.left = 0
        self.has_begun = False
        """Whether a byte of the answer has come."""
        self.link = link
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD_BYTES)
        self._silence_s = silence_s
        self._scope = trio.CancelScope()
        self._waited_s = 0.0
        self._trickled = 0
        self._early = memoryview(b"")
        self._may_go_on = False

    async def ask(self, outgoing: h11.Request) -> None:
        """Send the request and read the head of its answer. Raises OSError, h11.ProtocolError."""
        data = self._http.send(outgoing) or b""
        await self.link.send(data + (self._http.send(h11.EndOfMessage()) or b""))
        allowance, piece = HEAD_BYTES, bytearray(HEAD_PIECE_BYTES)
        while (head := self._parsed()) is None:
            if allowance <= 0:
                raise h11.RemoteProtocolError(TOO_LARGE)
            allowance -= await self._receive(piece)
        self._begin(head)

    def receive_now(self, view: memoryview) -> int | None:
        """Put bytes of the body into ``view``, which is not empty; how many, None if there are none
        at this moment. Raises Unreachable."""
        view = view[: self.left]
        if self._early:
            count = min(len(self._early), len(view))
            view[:count], self._early = self._early[:count], self._early[count:]
        else:
            try:
                found = self.link.receive_now(view)
            except OSError as error:
                raise _failure(error, "", Unreachable) from error
            if found is None:
                return None
            count = found
        if not count:
            raise Unreachable(f"the connection ended, {self.left} bytes of the answer are missing")
        self.left -= count
        self._trickled += count
        return count

    async def wait(self) -> None:
        """Return when there may be bytes. To be called inside of `patience`. Raises Unreachable."""
        if self._trickled >= TRICKLE_BYTES:
            self._waited_s, self._trickled = 0.0, 0
        began = trio.current_time()
        self._scope.deadline = began + self._silence_s - self._waited_s
        try:
            await self.link.wait()
        except OSError as error:
            raise _failure(error, "", Unreachable) from error
        self._scope.deadline = inf
        self._waited_s += trio.current_time() - began

    @contextmanager
    def patience(self) -> Iterator[None]:
        """Take the body inside: it may wait for so long. Raises OriginTimeout.

        One scope whose deadline moves, for one for each wait would cost more than what it brings.
        """
        with self._scope:
            yield
        if self._scope.cancelled_caught:
            raise OriginTimeout(f"{self._trickled} bytes came in {self._silence_s:.0f} s")

    async def read(self, limit: int) -> bytes:
        """The whole body, of an answer that is no range. Raises BadAnswer if it is longer than
        ``limit`` bytes."""
        body, piece = bytearray(), bytearray(HEAD_PIECE_BYTES)
        with _explained():
            while len(body) <= limit:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    await self._receive(piece)
                elif isinstance(event, h11.Data):
                    body += event.data
                else:
                    self.left = 0
                    self._may_go_on = self._http.their_state is h11.DONE
                    return bytes(body)
        raise BadAnswer(f"the answer is longer than {limit} bytes", status=self.status)

    @property
    def is_reusable(self) -> bool:
        """Whether the link may have another exchange."""
        return self._may_go_on and not self.left

    async def _receive(self, piece: bytearray) -> int:
        """Some bytes for h11."""
        while (count := self.link.receive_now(memoryview(piece))) is None:
            await self.link.wait()
        if not count and not self.status:
            raise ConnectionError("the connection ended before the answer")
        self.has_begun = True
        self._http.receive_data(bytes(memoryview(piece)[:count]))
        return count

    def _parsed(self) -> h11.Response | None:
        while (event := self._http.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Response):
                return event
        return None

    def _begin(self, head: h11.Response) -> None:
        self.status = head.status_code
        fields: dict[str, str] = {}
        for raw_name, raw_value in head.headers:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
        self.headers = fields
        is_certain = "content-length" in fields and "transfer-encoding" not in fields
        self.left = int(fields["content-length"]) if is_certain else 0  # h11 has looked at it
        early, _ = self._http.trailing_data
        self._early = memoryview(early)[: self.left]
        is_lasting = head.http_version >= b"1.1" and "close" not in fields.get("connection", "")
        self._may_go_on = is_certain and is_lasting and len(early) <= self.left


class Exchanges:
    """Asks one origin, over as many links as there are exchanges at a time.

    ``silence_s``: the most seconds without a byte, never over SILENCE_S.
    """

    def __init__(self, dialer: Dialer, *, connections: int, silence_s: float) -> None:
        self._dialer = dialer
        self._links = Links(dialer, connections)
        self._silence_s = min(silence_s, SILENCE_S)
        self._connect_s = min(silence_s, CONNECT_S)
        endpoint, proxy = dialer.endpoint, dialer.proxy
        self._where = endpoint.authority + (f" through the proxy {proxy}" if proxy else "") + ": "
        self._busy = 0

    def __repr__(self) -> str:
        return f"<Exchanges {self.open_connections}>"

    @property
    def open_connections(self) -> int:
        """Connections, busy or idle."""
        return self._busy + len(self._links)

    async def aclose(self) -> None:
        """Close the connections that idle; the others close at the end of their exchanges."""
        self._links.close()

    def send(self, request: Request) -> "_Asking":
        """Sends ``request`` and gives the answer as soon as its head is there.

        Raises Unreachable, OriginTimeout, BadAnswer or BadRequest.
        """
        return _Asking(self, request)

    async def begin(self, request: Request) -> Exchange:
        """The answer, which is to be ended."""
        link, is_reused = self._links.take(), True
        self._busy += 1
        try:
            while True:
                if link is None:
                    link, is_reused = await self._dial(), False
                exchange = await self._ask(link, request, is_reused=is_reused)
                if exchange is not None:
                    return exchange
                link.close()
                link = None
        except BaseException:
            self._busy -= 1
            if link is not None:
                link.close()
            raise

    def end(self, exchange: Exchange) -> None:
        """Its link goes to the next one, or is closed."""
        self._busy -= 1
        if exchange.is_reusable:
            self._links.give_back(exchange.link)
        else:
            exchange.link.close()

    async def _dial(self) -> Link:
        with trio.move_on_after(self._connect_s), _explained(self._where, Unreachable):
            return await self._links.dial()
        raise OriginTimeout(f"{self._where}no connection within {self._connect_s:g} s")

    async def _ask(self, link: Link, request: Request, *, is_reused: bool) -> Exchange | None:
        """The exchange; None if ``link`` had idled for too long."""
        exchange = Exchange(link, self._silence_s)
        with trio.move_on_after(self._silence_s), _explained(self._where, Disconnected):
            try:
                await exchange.ask(self._outgoing(request))
            except OSError:
                if is_reused and not exchange.has_begun:
                    return None
                raise
            return exchange
        raise OriginTimeout(f"{self._where}no whole headers within {self._silence_s:g} s")

    def _outgoing(self, request: Request) -> h11.Request:
        endpoint, proxy = self._dialer.endpoint, self._dialer.proxy
        headers = [("host", endpoint.authority), *request.headers.items()]
        target = request.target
        if proxy is not None and not self._dialer.is_secure:
            target = f"{endpoint.base_url}{target}"  # RFC 9112, 3.2.2: proxies want it whole
            headers += [(name.decode(), value.decode()) for name, value in proxy.headers()]
        return h11.Request(method=request.method, target=target, headers=headers)


class _Asking:
    """No generator: it is on the way of every range."""

    def __init__(self, exchanges: Exchanges, request: Request) -> None:
        self._exchanges = exchanges
        self._request = request

    async def __aenter__(self) -> Exchange:
        self._exchange = await self._exchanges.begin(self._request)
        return self._exchange

    async def __aexit__(self, *_: object) -> None:
        self._exchanges.end(self._exchange)


class _explained:
    """``where`` is the origin, as long as it has not begun to answer."""

    __slots__ = ("_kind", "_where")

    def __init__(self, where: str = "", kind: type[Unreachable] = Unreachable) -> None:
        self._where = where
        self._kind = kind

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        match error:
            case OSError():
                raise _failure(error, self._where, self._kind) from error
            case h11.LocalProtocolError():
                # What it says repeats the header, which may be the one with the token.
                text = f"{self._where}the request has a header that HTTP does not allow"
                raise BadRequest(text) from error
            case h11.RemoteProtocolError():
                is_too_long = "Receive buffer too long" in str(error)
                raise BadAnswer(self._where + (TOO_LARGE if is_too_long else str(error))) from error


def _failure(error: OSError, where: str, kind: type[Unreachable]) -> Unreachable:
    """What a broken connection means."""
    if explained := explain_tls(error):
        return TlsFailed(where + explained)
    return kind(where + reason_of(error))
