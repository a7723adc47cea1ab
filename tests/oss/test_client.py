"""The client against a server that misbehaves in every way seen in the field."""

import gc
import logging
import types
from base64 import b64encode
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from ossfs_resume import errors
from ossfs_resume.errors import OriginError
from ossfs_resume.oss.client import OssClient
from ossfs_resume.oss.credentials import StaticCredentials
from ossfs_resume.oss.models import Credentials, ListPage, ObjectMeta
from ossfs_resume.oss.range_reader import MemorySink
from ossfs_resume.oss.sender import ERROR_BODY_S
from ossfs_resume.oss.transport import SILENCE_S
from support.waiting import PATIENCE_S

Server = Any  # RawServer of conftest.py
TIMEOUT_S = 5.0  # of its clients

DATA = bytes(range(256)) * 4
META = ObjectMeta("dir/k", len(DATA), "E1", 0)
HEAD = {"etag": '"E1"', "last-modified": "Mon, 18 May 2020 05:45:43 GMT", "content-length": "7"}
EMPTY_LISTING = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


async def read(
    client: OssClient, start: int = 0, stop: int = len(DATA)
) -> tuple[bytes, int | None]:
    sink = MemorySink(start, stop - start)
    crc = await client.read_range(META, stop, sink)
    return sink.data, crc


def error(server: Server, status: int, code: str, headers: dict[str, str] | None = None) -> bytes:
    body = f"<Error><Code>{code}</Code><RequestId>R</RequestId></Error>".encode()
    return server.answer(status, headers, body)  # type: ignore[no-any-return]


def head_error(
    server: Server, status: int, code: str, headers: dict[str, str] | None = None
) -> bytes:
    encoded = b64encode(f"<Error><Code>{code}</Code></Error>".encode()).decode()
    return server.answer(status, {"x-oss-err": encoded} | (headers or {}))  # type: ignore[no-any-return]


# --- what is right ---


async def test_head(server: Server, client: OssClient) -> None:
    server.script = [server.answer(200, HEAD)]
    assert await client.head("k") == ObjectMeta("k", 7, "E1", 1589780743)


async def test_list_page(server: Server, client: OssClient) -> None:
    server.script = [server.answer(200, {}, EMPTY_LISTING)]
    assert await client.list_page("p/") == ListPage((), ())


async def test_range_is_delivered_with_the_checksum(server: Server, client: OssClient) -> None:
    server.script = [server.ranged(DATA[10:20], 10, len(DATA))]
    assert await read(client, 10, 20) == (DATA[10:20], 42)
    assert client.statistics().bytes_received == 10


async def test_nothing_is_asked_for_an_empty_range(server: Server, client: OssClient) -> None:
    assert await read(client, 5, 5) == (b"", None)
    assert server.received == []


async def test_whole_object_instead_of_its_whole_range_is_fine(
    server: Server, client: OssClient
) -> None:
    server.script = [server.answer(200, {"etag": '"E1"'}, DATA)]
    assert await read(client) == (DATA, None)


async def test_connections_are_used_again(server: Server, client: OssClient) -> None:
    server.default = server.ranged(DATA, 0, len(DATA))
    for _ in range(5):
        await read(client)
    assert server.accepted == 1


# --- resume inside a range ---


async def test_a_broken_range_continues_after_the_last_byte(
    server: Server, client: OssClient
) -> None:
    whole = server.ranged(DATA, 0, len(DATA))
    rest = server.ranged(DATA[100:], 100, len(DATA))
    server.script = [
        server.cut(whole[: len(whole) - len(DATA) + 100]),
        server.cut(rest[: len(rest) - 1]),
        server.ranged(DATA[-1:], len(DATA) - 1, len(DATA)),
    ]
    assert await read(client) == (DATA, 42)
    asked = [request.headers["range"] for request in server.received]
    assert asked == ["bytes=0-1023", "bytes=100-1023", "bytes=1023-1023"]
    assert (client.statistics().retries, client.statistics().range_requests) == (2, 3)


async def test_progress_renews_the_budget(
    server: Server, client: OssClient, mock_clock: MockClock
) -> None:
    """Ten attempts that break late, each after some bytes, outlast the timeout together."""

    def late(start: int, stop: int) -> Any:
        async def send(stream: trio.SocketStream) -> None:
            whole = server.ranged(DATA[start:], start, len(DATA))
            await stream.send_all(whole[: len(whole) - (len(DATA) - stop)])
            mock_clock.jump(1)
            await stream.aclose()

        return send

    server.script = [late(at, at + 100) for at in range(0, 1000, 100)]
    server.script.append(server.ranged(DATA[1000:], 1000, len(DATA)))
    assert (await read(client))[0] == DATA
    assert client.statistics().retries == 10


async def test_a_server_that_closes_an_idle_connection_is_asked_again(
    server: Server, client: OssClient
) -> None:
    """The race: the connection looks alive when the request is sent."""
    server.script = [server.answer(200, HEAD), server.cut(b""), server.answer(200, HEAD)]
    await client.head("a")
    assert (await client.head("b")).key == "b"
    assert client.statistics().retries == 1


@pytest.mark.parametrize("partial", [0, 100])
async def test_stalled_range_times_out_in_time(
    server: Server, client: OssClient, autojump_clock: MockClock, partial: int
) -> None:
    whole = server.ranged(DATA, 0, len(DATA))
    server.script = [server.stall(whole[: len(whole) - len(DATA) + partial])]
    server.default = server.hang
    with trio.fail_after(2 * TIMEOUT_S), pytest.raises(errors.OriginTimeout):
        await read(client)


async def test_stalled_head_times_out_in_time(
    server: Server, client: OssClient, autojump_clock: MockClock
) -> None:
    server.default = server.hang
    with trio.fail_after(2 * TIMEOUT_S), pytest.raises(errors.OriginTimeout):
        await client.head("k")


async def test_trickling_metadata_ends_with_its_budget(
    server: Server, client: OssClient, autojump_clock: MockClock
) -> None:
    async def trickle(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\n")
        while True:
            await stream.send_all(b"x: y\r\n")
            await trio.sleep(0.5)

    server.default = trickle
    with trio.fail_after(2 * TIMEOUT_S), pytest.raises(errors.OriginTimeout):
        await client.head("k")


async def test_trickling_error_page_does_not_hold_a_range(
    server: Server, autojump_clock: MockClock
) -> None:
    server.default = server.stall(server.answer(412, {"content-length": "100"}, b"<Err"))
    async with server.client(timeout_s=10 * ERROR_BODY_S) as client:
        with trio.fail_after(2 * ERROR_BODY_S), pytest.raises(errors.ObjectChanged):
            await read(client)


async def test_no_listener_is_unreachable(server: Server, autojump_clock: MockClock) -> None:
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))
        server.port = unused.getsockname()[1]
        async with server.client(jitter=lambda: 1.0) as client:
            with pytest.raises(errors.Unreachable, match="refused"):
                await client.head("k")


# --- what must never become data ---


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"etag": '"E2"'}, 206, errors.ObjectChanged),
        ({"content-range": "bytes 0-1023/2048"}, 206, errors.ObjectChanged),
        ({"content-range": "bytes 1-1023/1024"}, 206, errors.BadAnswer),
        ({"content-range": ""}, 206, errors.BadAnswer),
        ({"etag": ""}, 206, errors.BadAnswer),
    ],
)
async def test_wrong_answers_deliver_nothing(
    server: Server,
    pausing: OssClient,
    autojump_clock: MockClock,
    headers: dict[str, str],
    status: int,
    kind: type[OriginError],
) -> None:
    server.default = server.ranged(DATA, 0, len(DATA), headers)
    sink = MemorySink(0, len(DATA))
    with pytest.raises(kind):
        await pausing.read_range(META, len(DATA), sink)
    assert sink.data == b""


@pytest.mark.parametrize("status", [200, 206])
async def test_whole_object_instead_of_a_part_of_it(
    server: Server, pausing: OssClient, autojump_clock: MockClock, status: int
) -> None:
    server.default = server.answer(status, {"etag": '"E1"'}, DATA)
    with pytest.raises(errors.BadAnswer):
        await read(pausing, 10, 20)


async def test_compression_on_the_way_is_refused(
    server: Server, pausing: OssClient, autojump_clock: MockClock
) -> None:
    """Chunked, no length: OSS does so to text if it may; a proxy may too."""
    fields = {"content-encoding": "gzip", "transfer-encoding": "chunked", "content-length": ""}
    server.default = (
        server.ranged(DATA, 0, len(DATA), fields)[: -len(DATA)] + b"1\r\nx\r\n0\r\n\r\n"
    )
    with pytest.raises(errors.BadAnswer):
        await read(pausing)


async def test_changed_between_two_attempts(server: Server, client: OssClient) -> None:
    whole = server.ranged(DATA, 0, len(DATA))
    server.script = [server.cut(whole[:-1]), error(server, 412, "PreconditionFailed")]
    with pytest.raises(errors.ObjectChanged):
        await read(client)


async def test_html_instead_of_a_listing(
    server: Server, pausing: OssClient, autojump_clock: MockClock
) -> None:
    server.default = server.answer(200, {"content-type": "text/html"}, b"<html><p>Log in</html>")
    with pytest.raises(errors.BadAnswer, match="not XML"):
        await pausing.list_page("")


async def test_html_error_page_is_quoted(
    server: Server, pausing: OssClient, autojump_clock: MockClock
) -> None:
    server.default = server.answer(502, {"content-type": "text/html"}, b"<h1>Bad gateway</h1>")
    with pytest.raises(errors.ServerFailed, match="Bad gateway"):
        await read(pausing)


async def test_endless_listing_is_refused(
    server: Server,
    pausing: OssClient,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ossfs_resume.oss.listing.MAX_LISTING_BYTES", 1000)
    server.default = server.answer(200, {}, b" " * 1001)
    with pytest.raises(errors.BadAnswer, match="longer than 1000"):
        await pausing.list_page("")


async def test_no_http_at_all(
    server: Server, pausing: OssClient, autojump_clock: MockClock
) -> None:
    server.default = server.cut(b"220 mail.example ESMTP\r\n\r\n")
    with pytest.raises(errors.BadAnswer):
        await pausing.head("k")


# --- refusals ---


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NoSuchKey", errors.NotFound),
        (403, "InvalidObjectState", errors.NotReadable),
        (403, "AccessDenied", errors.AccessDenied),
        (412, "PreconditionFailed", errors.ObjectChanged),
    ],
)
async def test_final_refusals_are_raised_at_once(
    server: Server, client: OssClient, status: int, code: str, kind: type[OriginError]
) -> None:
    server.script = [error(server, status, code)]
    with pytest.raises(kind, match=f"{code}.*request id R"):
        await read(client)
    assert len(server.received) == 1


async def test_throttling_is_waited_out(server: Server, client: OssClient) -> None:
    server.script = [head_error(server, 503, "TotalQpsLimitExceeded"), server.answer(200, HEAD)]
    assert (await client.head("k")).size == 7
    assert client.statistics().errors == 1


async def test_an_absent_object_is_no_failure(server: Server, client: OssClient) -> None:
    server.script = [server.answer(404)]
    with pytest.raises(errors.NotFound):
        await client.head("k")
    assert client.statistics().errors == 0


async def test_a_wrong_clock_is_corrected_for_all_later_requests(server: Server) -> None:
    date = {"date": "Mon, 18 May 2020 05:45:43 GMT"}
    server.script = [head_error(server, 403, "RequestTimeTooSkewed", date)]
    server.default = server.answer(200, HEAD)
    async with server.client(clock=lambda: 1700000000.0) as client:
        await client.head("k")
        await client.head("k")
    stamps = [request.headers["x-oss-date"] for request in server.received]
    assert stamps == ["20231114T221320Z", "20200518T054543Z", "20200518T054543Z"]


async def test_expired_credentials_are_renewed_once(server: Server) -> None:
    class Rotating:
        origin = "there"

        refusals = 0

        def fresh(self) -> None:
            """Somebody has to be asked."""

        async def current(self) -> Credentials:
            return Credentials(f"ak{self.refusals}", "sk", "token")

        def refused(self, credentials: Credentials) -> bool:
            self.refusals += 1
            return True

    server.default = head_error(server, 403, "SecurityTokenExpired")
    async with server.client(credentials=Rotating()) as client:
        with pytest.raises(errors.AccessDenied):
            await client.head("k")
    keys = [r.headers["authorization"].split("Credential=")[1][:3] for r in server.received]
    assert keys == ["ak0", "ak1"]


async def test_anonymous_requests_carry_no_signature(server: Server) -> None:
    server.default = server.answer(200, HEAD)
    async with server.client(credentials=StaticCredentials(None)) as client:
        await client.head("k")
    assert "authorization" not in server.received[0].headers
    assert not any(name.startswith("x-oss") for name in server.received[0].headers)


async def test_version_1_signature_on_request(server: Server) -> None:
    server.default = server.answer(200, HEAD)
    async with server.client(signature="v1") as client:
        await client.head("k")
    assert server.received[0].headers["authorization"].startswith("OSS ak:")


async def test_secrets_stay_out_of_the_log(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.script = [server.cut(b""), server.answer(200, HEAD)]
    keys = StaticCredentials(Credentials("ak", "hidden-secret", "hidden-token"))
    async with server.client(credentials=keys) as client:
        await client.head("k")
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("ossfs_resume")]
    assert any("HEAD /bucket/k: 200" in message for message in ours)
    assert "hidden" not in " ".join(ours)


async def test_repeated_failures_are_reported_once(
    server: Server, client: OssClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="ossfs_resume")
    server.script = [server.cut(b"")] * 6 + [server.ranged(DATA, 0, len(DATA))]
    await read(client)
    assert [r.levelname for r in caplog.records] == ["WARNING"]


# --- lanes, cancellation, leaks ---


async def until_asked(server: Server, requests: int) -> None:
    """Return when so many have come and, if there were more on their way, those too."""
    while len(server.received) < requests:
        await trio.lowlevel.checkpoint()
    await wait_all_tasks_blocked(0.05)


async def test_metadata_answers_while_all_ranges_stall(server: Server) -> None:
    async def reply(stream: trio.SocketStream) -> None:
        stalls = server.received[-1].method == "GET"
        await (server.hang(stream) if stalls else stream.send_all(server.answer(200, HEAD)))

    server.default = reply
    lanes = server.client(connections=3, metadata_connections=2, timeout_s=2 * SILENCE_S)
    async with lanes as client, trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(read, client)
        await until_asked(server, 3)
        with trio.fail_after(SILENCE_S / 2):
            assert (await client.head("k")).size == 7
        assert [request.method for request in server.received] == ["GET"] * 3 + ["HEAD"]
        nursery.cancel_scope.cancel()


async def test_no_more_requests_at_a_time_than_connections(server: Server) -> None:
    server.default = server.hang
    async with server.client(connections=3) as client, trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(read, client)
        await until_asked(server, 3)
        assert server.open == len(server.received) == 3
        nursery.cancel_scope.cancel()


async def test_cancelled_reads_leak_no_connection(server: Server) -> None:
    """Cancelled before, while and after the answer comes; then every place is still free."""
    whole = server.ranged(DATA, 0, len(DATA))
    async with server.client(connections=2) as client:
        for reply in (server.hang, server.stall(whole[:-500]), server.stall(whole[:20])):
            server.default = reply
            for delay in (0.0, 0.001, 0.02):
                with trio.move_on_after(delay):
                    await read(client)
        server.default = whole
        with trio.fail_after(PATIENCE_S):
            assert await read(client) == (DATA, 42)
            async with trio.open_nursery() as nursery:
                for _ in range(8):
                    nursery.start_soon(read, client)
    with trio.fail_after(PATIENCE_S):
        await server.all_closed.wait()


async def test_cancelled_in_every_scheduler_tick(server: Server) -> None:
    """Whatever step of connecting, sending or receiving a cancellation hits, no place is lost."""
    server.default = server.ranged(DATA, 0, len(DATA))
    async with server.client(connections=1) as client:
        for ticks in range(40):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read, client)
                for _ in range(ticks):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
            with trio.fail_after(PATIENCE_S):
                assert await read(client) == (DATA, 42)
            await client._reader.lane.asker.aclose()  # the next round connects again


async def test_cancelled_when_just_connected(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connected, but the request not yet sent: nothing is lost in between."""
    server.default = server.ranged(DATA, 0, len(DATA))
    scope = trio.CancelScope()
    connect = trio.open_tcp_stream

    async def connect_and_cancel(host: str, port: int) -> trio.SocketStream:
        stream = await connect(host, port)
        scope.cancel()
        return stream

    async with server.client(connections=1) as client:
        with monkeypatch.context() as patch, scope:
            patch.setattr(trio, "open_tcp_stream", connect_and_cancel)
            await read(client)
        assert scope.cancelled_caught
        with trio.fail_after(PATIENCE_S):
            assert await read(client) == (DATA, 42)


async def test_cancelled_in_delivery_leaks_nothing(server: Server, client: OssClient) -> None:
    """Also no half-read generator: the collector would complain, and warnings are errors."""
    got_some = trio.Event()

    class Stuck(MemorySink):
        async def filled(self, count: int) -> None:
            got_some.set()
            await trio.sleep_forever()

    meta = ObjectMeta("k", len(DATA) + 1, "E1", 0)
    server.default = server.stall(server.ranged(DATA + b"x", 0, len(DATA) + 1)[:-1])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.read_range, meta, len(DATA) + 1, Stuck(0, len(DATA) + 1))
        await got_some.wait()
        nursery.cancel_scope.cancel()
    with trio.fail_after(PATIENCE_S):
        await server.all_closed.wait()


async def test_a_failing_delivery_ends_the_range(server: Server, client: OssClient) -> None:
    server.default = server.stall(server.ranged(DATA, 0, len(DATA))[:-1])

    class Broken(MemorySink):
        async def filled(self, count: int) -> None:
            raise RuntimeError("disk")

    with pytest.raises(RuntimeError, match="disk"):
        await client.read_range(META, len(DATA), Broken(0, len(DATA)))
    with trio.fail_after(PATIENCE_S):
        await server.all_closed.wait()
    assert len(server.received) == 1


async def test_why_a_range_fails_is_known_until_it_brings_bytes(
    server: Server, client: OssClient
) -> None:
    right = server.ranged(DATA, 0, len(DATA))
    server.script = [error(server, 403, "UserDisable"), right]
    assert client.failing(META) == ""
    with pytest.raises(errors.AccessDenied):
        await read(client)
    assert client.failing(META).startswith("UserDisable: ")
    assert "request id R" in client.failing(META)
    assert (await read(client))[0] == DATA
    assert client.failing(META) == ""


# --- an origin that goes on and on ---


async def test_a_flood_of_continue_before_an_answer_ends_soon(server: Server) -> None:
    """Each is right by itself; 64 KiB of them hold up everybody for a while."""

    async def flood(stream: trio.SocketStream) -> None:
        while True:
            await stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)

    server.default = flood
    async with server.client(timeout_s=0.05) as client:
        with trio.fail_after(PATIENCE_S), pytest.raises(errors.TransientError):
            await client.head("k")


async def test_a_few_of_them_are_passed_over(server: Server, client: OssClient) -> None:
    server.script = [b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + server.answer(200, HEAD)]
    assert (await client.head("k")).size == 7


async def test_a_body_that_trickles_is_asked_for_again(
    server: Server, client: OssClient, autojump_clock: MockClock
) -> None:
    whole = server.ranged(DATA, 0, len(DATA))

    async def trickle(stream: trio.SocketStream) -> None:
        await stream.send_all(whole[: -len(DATA)])
        for byte in DATA:
            await stream.send_all(bytes([byte]))
            await trio.sleep(0.5)

    server.script = [trickle]

    async def reply(stream: trio.SocketStream) -> None:
        start = int(server.received[-1].headers["range"].removeprefix("bytes=").split("-")[0])
        await stream.send_all(server.ranged(DATA[start:], start, len(DATA)))

    server.default = reply
    with trio.fail_after(2 * TIMEOUT_S):
        assert (await read(client))[0] == DATA
    assert client.statistics().retries == 1


async def test_what_was_refused_is_not_kept_in_memory(
    server: Server,
    pausing: OssClient,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The collector of cycles comes by seldom in a mount."""
    gc.collect()
    gc.disable()
    try:
        monkeypatch.setattr("ossfs_resume.oss.listing.MAX_LISTING_BYTES", 1 << 20)
        server.default = server.answer(200, {}, b" " * (2 << 20))
        with pytest.raises(errors.BadAnswer):
            await pausing.list_page("")
        assert pausing.statistics().retries > 3
        kept = [each for each in gc.get_objects() if isinstance(each, types.FrameType)]
        bodies = [frame for frame in kept if frame.f_code.co_name == "read" and frame.f_locals]
        assert not bodies
    finally:
        gc.enable()
