"""A body goes from the connection into its place, and nothing but what was announced is taken."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from ossfs_resume import errors
from ossfs_resume.oss.client import OssClient
from ossfs_resume.oss.endpoint import parse_endpoint
from ossfs_resume.oss.exchange import Exchange, Exchanges
from ossfs_resume.oss.hedging import LEAST_S, LEAST_SAMPLES
from ossfs_resume.oss.links import KEEPALIVE_S, Dialer
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.oss.range_reader import MemorySink
from ossfs_resume.oss.request import Request
from support.waiting import PATIENCE_S

Server = Any  # RawServer of conftest.py
DATA = bytes(range(256)) * 4
META = ObjectMeta("k", len(DATA), "E1", 0)
GET = Request("GET", "/", "/")


def exchanges(server: Server, context: ssl.SSLContext | None = None, port: int = 0) -> Exchanges:
    scheme = "https" if context else "http"
    host = "localhost" if context else "127.0.0.1"
    endpoint = parse_endpoint("bucket", f"{scheme}://{host}:{port or server.port}", "cn-hangzhou")
    context = context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return Exchanges(Dialer(endpoint, context), connections=2, silence_s=5)


async def body_of(exchange: Exchange, step: int = 100) -> bytes:
    body = b""
    with exchange.patience():
        while exchange.left:
            room = memoryview(bytearray(step))
            count = exchange.receive_now(room)
            if count is None:
                await exchange.wait()
            else:
                body += room[:count]
    return body


@asynccontextmanager
async def asked(asker: Exchanges) -> AsyncIterator[Exchange]:
    async with asker.send(GET) as exchange:
        yield exchange
    await asker.aclose()


# --- bodies ---


@pytest.mark.parametrize("size", [0, 1, 16 << 10, 1 << 20])
async def test_a_body_arrives_whole_and_its_connection_is_used_again(
    server: Server, size: int
) -> None:
    body = bytes(range(251)) * (size // 251 + 1)
    server.default = server.answer(200, {}, body[:size])
    asker = exchanges(server)
    for _ in range(3):
        async with asker.send(GET) as exchange:
            assert await body_of(exchange, 9999) == body[:size]
    assert (server.accepted, asker.open_connections) == (1, 1)
    await asker.aclose()


async def test_what_goes_beyond_the_body_is_never_taken_and_ends_the_connection(
    server: Server,
) -> None:
    server.default = server.answer(200, {"content-length": "5"}, b"12345 and more")
    asker = exchanges(server)
    async with asker.send(GET) as exchange:
        assert await body_of(exchange) == b"12345"
    assert asker.open_connections == 0


async def test_a_body_that_ends_early_is_an_error(server: Server) -> None:
    server.default = server.cut(server.answer(200, {"content-length": "10"}, b"12345"))
    async with asked(exchanges(server)) as exchange:
        with pytest.raises(errors.Unreachable, match="5 bytes of the answer are missing"):
            await body_of(exchange)


async def test_a_body_of_uncertain_length_has_no_bytes(server: Server) -> None:
    fields = {"transfer-encoding": "chunked", "content-length": ""}
    server.default = server.answer(200, fields, b"5\r\n12345\r\n0\r\n\r\n")
    asker = exchanges(server)
    async with asker.send(GET) as exchange:
        assert exchange.left == 0
    assert asker.open_connections == 0


async def test_an_answer_left_early_costs_its_connection(server: Server) -> None:
    server.default = server.stall(server.answer(200, {"content-length": "10"}, b"12345"))
    asker = exchanges(server)
    async with asker.send(GET) as exchange:
        assert exchange.receive_now(memoryview(bytearray(3))) == 3
    assert asker.open_connections == 0
    with trio.fail_after(PATIENCE_S):
        await server.all_closed.wait()


async def test_a_cancelled_wait_has_taken_nothing(server: Server) -> None:
    more = trio.Event()

    async def late(stream: trio.SocketStream) -> None:
        await stream.send_all(server.answer(200, {"content-length": "5"}))
        await more.wait()
        await stream.send_all(b"12345")

    server.default = late
    async with asked(exchanges(server)) as exchange:
        with trio.CancelScope() as scope:
            scope.cancel()
            await exchange.wait()
        more.set()
        assert await body_of(exchange) == b"12345"


async def test_a_connection_that_the_server_wants_closed_is_not_used_again(
    server: Server,
) -> None:
    for answer in (
        server.answer(200, {"connection": "close"}, b"12345"),
        server.answer(200, {}, b"12345").replace(b"HTTP/1.1", b"HTTP/1.0"),
    ):
        server.default = answer
        asker = exchanges(server)
        async with asker.send(GET) as exchange:
            assert await body_of(exchange) == b"12345"
        assert asker.open_connections == 0


@pytest.mark.parametrize("fields", [{}, {"transfer-encoding": "chunked", "content-length": ""}])
async def test_the_text_of_an_error_is_read_and_keeps_its_connection(
    server: Server, fields: dict[str, str]
) -> None:
    body = b"<Error/>"
    server.default = server.answer(404, fields, b"8\r\n<Error/>\r\n0\r\n\r\n" if fields else body)
    asker = exchanges(server)
    async with asker.send(GET) as exchange:
        assert await exchange.read(100) == body
    assert asker.open_connections == 1
    async with asker.send(GET) as exchange:
        with pytest.raises(errors.BadAnswer, match="longer than 4"):
            await exchange.read(4)
    await asker.aclose()


# --- connections ---


async def test_a_connection_that_ended_idle_costs_nothing(
    server: Server, client: OssClient
) -> None:
    """It looked alive when the request was sent: that is no failure of anybody."""
    whole = server.ranged(DATA, 0, len(DATA))
    server.script = [whole, server.cut(b""), whole]
    for _ in range(2):
        sink = MemorySink(0, len(DATA))
        assert await client.read_range(META, len(DATA), sink) == 42
        assert sink.data == DATA
    statistics = client.statistics()
    assert (statistics.retries, statistics.errors, statistics.range_requests) == (0, 0, 2)
    assert len(server.received) == 3


async def test_an_answer_that_breaks_in_its_head_is_a_failure(
    server: Server, client: OssClient
) -> None:
    whole = server.ranged(DATA, 0, len(DATA))
    server.script = [whole, server.cut(b"HTTP/1.1 206"), whole]
    for _ in range(2):
        await client.read_range(META, len(DATA), MemorySink(0, len(DATA)))
    assert client.statistics().errors == 1


async def test_a_connection_that_says_something_unasked_is_closed(server: Server) -> None:
    answer = server.answer(200, {}, b"12345")
    said, heard = trio.Event(), trio.Event()

    async def talk(stream: trio.SocketStream) -> None:
        await stream.send_all(answer)
        await said.wait()
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        heard.set()

    server.script, server.default = [talk], answer
    asker = exchanges(server)
    async with asker.send(GET) as exchange:
        await body_of(exchange)
    said.set()
    await heard.wait()
    async with asker.send(GET) as exchange:
        assert await body_of(exchange) == b"12345"
    assert server.accepted == 2
    await asker.aclose()


async def test_a_connection_that_idled_for_long_is_not_used_again(
    server: Server, mock_clock: MockClock
) -> None:
    server.default = server.answer(200, {}, b"12345")
    asker = exchanges(server)
    for _ in range(2):
        async with asker.send(GET) as exchange:
            await body_of(exchange)
        mock_clock.jump(KEEPALIVE_S)
    assert server.accepted == 2
    await asker.aclose()


async def test_cancelled_while_it_connects_nothing_is_left(server: Server) -> None:
    server.default = server.hang
    asker = exchanges(server)
    for ticks in range(12):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_enter, asker)
            for _ in range(ticks):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert asker.open_connections == 0
    with trio.fail_after(PATIENCE_S):
        await server.all_closed.wait()


async def _enter(asker: Exchanges) -> None:
    async with asker.send(GET):
        pass


async def test_a_head_that_trickles_ends_with_a_timeout(
    server: Server, autojump_clock: MockClock
) -> None:
    async def trickle(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\n")
        while True:
            await stream.send_all(b"x: y\r\n")
            await trio.sleep(0.5)

    server.default = trickle
    with trio.fail_after(60), pytest.raises(errors.OriginTimeout, match="headers"):
        async with asked(exchanges(server)):
            pass


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000,
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000,
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000,
    ],
)
async def test_a_head_has_a_limit(server: Server, head: bytes) -> None:
    server.default = server.stall(head)
    with trio.fail_after(PATIENCE_S), pytest.raises(errors.BadAnswer, match="too large"):
        async with asked(exchanges(server)):
            pass


async def test_a_forbidden_header_is_our_fault_and_tells_no_secret(server: Server) -> None:
    headers = {"x-oss-security-token": "VERY\r\nSECRET"}
    with pytest.raises(errors.BadRequest) as caught:
        async with exchanges(server).send(Request("GET", "/", "/", (), headers)):
            pass
    assert "SECRET" not in str(caught.value)


# --- TLS ---


async def test_tls_records_are_taken_together(
    server: Server, secure_port: int, trusting: ssl.SSLContext
) -> None:
    body = bytes(range(256)) * (4 << 12)
    server.default = server.answer(200, {}, body)
    asker = exchanges(server, trusting, secure_port)
    for _ in range(2):
        async with asker.send(GET) as exchange:
            got, most = b"", 0
            with exchange.patience():
                while exchange.left:
                    room = memoryview(bytearray(1 << 20))
                    count = exchange.receive_now(room)
                    if count is None:
                        await exchange.wait()
                    else:
                        got, most = got + bytes(room[:count]), max(most, count)
        assert got == body
        assert most > 16 << 10
    assert server.accepted == 1
    await asker.aclose()


async def test_an_unknown_certificate_is_refused_with_its_reason(
    server: Server, secure_port: int
) -> None:
    asker = exchanges(server, ssl.create_default_context(), secure_port)
    with pytest.raises(errors.TlsFailed, match="certificate verify failed"):
        async with asker.send(GET):
            pass


async def test_a_port_that_speaks_no_tls(server: Server, trusting: ssl.SSLContext) -> None:
    async def plain(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, plain, 0)
        asker = exchanges(server, trusting, listeners[0].socket.getsockname()[1])
        with pytest.raises(errors.TlsFailed, match="does not speak TLS"):
            async with asker.send(GET):
                pass
        nursery.cancel_scope.cancel()


async def test_a_cancelled_handshake_closes_the_connection(
    server: Server, trusting: ssl.SSLContext
) -> None:
    """The server accepts and says nothing."""
    accepted, closed = trio.Event(), trio.Event()

    async def silent(stream: trio.SocketStream) -> None:
        async with stream:
            while await stream.receive_some():
                accepted.set()
        closed.set()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, silent, 0)
        asker = exchanges(server, trusting, listeners[0].socket.getsockname()[1])
        async with trio.open_nursery() as inner:
            inner.start_soon(_enter, asker)
            await accepted.wait()
            inner.cancel_scope.cancel()
        with trio.fail_after(PATIENCE_S):
            await closed.wait()
        nursery.cancel_scope.cancel()


# --- two attempts at the same bytes ---


class Reply:
    """Answers the n-th request with its own bytes, each as far as the test lets it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.count = 0
        self.asked = trio.Event()
        self.go_on: list[trio.Event] = []

    async def __call__(self, stream: trio.SocketStream) -> None:
        number, self.count = self.count, self.count + 1
        self.go_on.append(trio.Event())
        whole = self._server.ranged(bytes([number]) * len(DATA), 0, len(DATA))
        await stream.send_all(whole[: -len(DATA)])
        self.asked.set()
        await self.go_on[number].wait()
        await stream.send_all(whole[-len(DATA) :])


async def test_of_two_attempts_with_bytes_in_the_same_turn_only_one_writes(
    server: Server, mock_clock: MockClock
) -> None:
    """Both connections are readable when the loop looks: their bytes must not be mixed."""
    reply = Reply(server)
    server.default = reply
    async with server.client(timeout_s=1000) as client, trio.open_nursery() as nursery:
        reader = client.open_reader()
        for _ in range(LEAST_SAMPLES):
            reader.lane.contests.hedges.add(0.01)
        sink = MemorySink(0, 2 * len(DATA))
        nursery.start_soon(reader.read_range, META, len(DATA), sink)
        await _blocked(reply, 1)
        mock_clock.jump(LEAST_S + 0.1)
        await _blocked(reply, 2)
        for event in reply.go_on:
            event.set()
    assert sink.data in (bytes(len(DATA)), b"\x01" * len(DATA))


async def _blocked(reply: Reply, count: int) -> None:
    while len(reply.go_on) < count:
        await trio.lowlevel.checkpoint()
    await wait_all_tasks_blocked(0.01)
