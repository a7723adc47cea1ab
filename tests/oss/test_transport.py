"""What goes on the wire, byte for byte, and what comes back, over TCP and TLS."""

import ssl
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from ossfs_resume import errors
from ossfs_resume.oss import network
from ossfs_resume.oss.client import OssClient
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.oss.range_reader import MemorySink
from ossfs_resume.oss.request import USER_AGENT, Request
from ossfs_resume.oss.transport import Transport
from support.waiting import PATIENCE_S

Server = Any  # RawServer of conftest.py

HEAD = {"etag": '"E1"', "last-modified": "Mon, 18 May 2020 05:45:43 GMT"}
LISTING = b"<ListBucketResult/>"


@pytest.mark.parametrize(
    ("key", "segment"),
    [
        ("a//b/../c", "a%2F%2Fb%2F..%2Fc"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("../x", "..%2Fx"),
        ("a/./", "a%2F.%2F"),
        ("100%41 b+c?d#e", "100%2541%20b%2Bc%3Fd%23e"),
        ("~'()*!", "~%27%28%29%2A%21"),
        ("文\udcff", "%E6%96%87%FF"),
        ("line\nfeed", "line%0Afeed"),
    ],
)
async def test_keys_go_out_exactly_as_encoded(
    server: Server, client: OssClient, key: str, segment: str
) -> None:
    server.script = [server.answer(200, HEAD)]
    await client.head(key)
    assert server.received[0].head.startswith(f"HEAD /bucket/{segment} HTTP/1.1\r\n".encode())


async def test_the_bucket_s_own_path_ends_in_a_slash(server: Server, client: OssClient) -> None:
    server.script = [server.answer(200, {}, LISTING)]
    await client.list_page("a b+/&=中", token="t+/=")
    assert server.received[0].target == (
        "/bucket/?continuation-token=t%2B%2F%3D&delimiter=%2F&encoding-type=url&list-type=2"
        "&max-keys=1000&prefix=a%20b%2B%2F%26%3D%E4%B8%AD"
    )


async def test_empty_query_values_are_left_out(server: Server, client: OssClient) -> None:
    server.script = [server.answer(200, {}, LISTING)]
    await client.list_page("", delimiter="", max_keys=1)
    assert server.received[0].target == "/bucket/?encoding-type=url&list-type=2&max-keys=1"


async def test_a_bare_query_name_stays_bare(server: Server) -> None:
    server.script = [server.answer(200)]
    transport = plain(server)
    request = Request("GET", "/k", "/bucket/k", (("objectMeta", ""),))
    async with transport.send(request) as answer:
        assert await answer.read(10) == b""
    assert server.received[0].target == "/k?objectMeta"
    await transport.aclose()


async def test_headers_of_a_ranged_get(server: Server, client: OssClient) -> None:
    """Exactly these: neither httpx's Accept-Encoding nor anything else it likes to send."""
    server.script = [server.ranged(b"0123456789", 10, 100)]
    await client.read_range(ObjectMeta("k", 100, "E1", 0), 20, MemorySink(10, 10))
    headers = server.received[0].headers
    assert headers.pop("authorization").startswith("OSS4-HMAC-SHA256 Credential=ak/")
    assert headers.pop("x-oss-date").endswith("Z")
    assert headers == {
        "host": f"127.0.0.1:{server.port}",
        "accept-encoding": "identity",
        "user-agent": USER_AGENT,
        "range": "bytes=10-19",
        "if-match": '"E1"',
        "x-oss-range-behavior": "standard",
        "x-oss-content-sha256": "UNSIGNED-PAYLOAD",
    }


async def test_head_and_listing_refuse_compression_too(server: Server, client: OssClient) -> None:
    server.script = [server.answer(200, HEAD), server.answer(200, {}, LISTING)]
    await client.head("k")
    await client.list_page("")
    assert [r.headers["accept-encoding"] for r in server.received] == ["identity"] * 2


async def test_an_object_stored_compressed_is_read_as_stored(
    server: Server, client: OssClient
) -> None:
    body = b"\x1f\x8b not really gzip"
    server.script = [server.ranged(body, 0, len(body), {"content-encoding": "gzip"})]
    sink = MemorySink(0, len(body))
    await client.read_range(ObjectMeta("k", len(body), "E1", 0), len(body), sink)
    assert sink.data == body


async def test_redirects_are_not_followed(
    server: Server, pausing: OssClient, autojump_clock: MockClock
) -> None:
    server.default = server.answer(302, {"location": "/elsewhere"})
    with pytest.raises(errors.BadAnswer, match="redirects to /elsewhere"):
        await pausing.head("k")
    assert {r.target for r in server.received} == {"/bucket/k"}


async def test_proxies_of_the_environment_are_not_used(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    server.default = server.answer(200, HEAD)
    async with server.client() as client:
        await client.head("k")


async def test_one_receive_takes_more_than_64_kib(server: Server) -> None:
    """As much as the kernel holds arrives in one piece: that is what saves the CPU."""
    server.script = [server.answer(200, {}, bytes(8 << 20))]
    transport = plain(server)
    async with transport.send(Request("GET", "/", "/")) as answer:
        sizes = [len(chunk) async for chunk in answer]
    await transport.aclose()
    assert sum(sizes) == 8 << 20
    assert max(sizes) > 64 << 10


async def test_an_answer_left_early_costs_its_connection(server: Server) -> None:
    server.script = [server.stall(server.answer(200, {"content-length": "10"}, b"12345"))]
    transport = plain(server)
    async with transport.send(Request("GET", "/", "/")) as answer:
        assert await anext(answer) == b"12345"
    assert transport.open_connections == 0
    with trio.fail_after(PATIENCE_S):
        await server.all_closed.wait()


async def test_an_answer_read_to_its_end_keeps_its_connection(server: Server) -> None:
    server.default = server.answer(200, {}, b"12345")
    transport = plain(server)
    for _ in range(3):
        async with transport.send(Request("GET", "/", "/")) as answer:
            assert await answer.read(5) == b"12345"
    assert (transport.open_connections, server.accepted) == (1, 1)
    await transport.aclose()


async def test_a_connection_that_is_closed_when_it_is_used_again(server: Server) -> None:
    """Told from one that ends in the middle of its answer."""
    halves = server.cut(server.answer(200, {"content-length": "10"}, b"12345"))
    server.script = [server.answer(200, {}, b"12345"), server.cut(b""), halves]
    transport = plain(server)
    async with transport.send(Request("GET", "/", "/")) as answer:
        assert await answer.read(5) == b"12345"
    with pytest.raises(errors.Disconnected):
        async with transport.send(Request("GET", "/", "/")):
            pass
    async with transport.send(Request("GET", "/", "/")) as answer:
        with pytest.raises(errors.Unreachable) as caught:
            await answer.read(10)
    assert type(caught.value) is errors.Unreachable
    await transport.aclose()


async def test_a_request_without_a_free_connection_does_not_wait_for_ever(
    server: Server, autojump_clock: MockClock
) -> None:
    server.default = server.stall(server.answer(200, {"content-length": "10"}, b"12345"))
    transport = plain(server)
    async with transport.send(Request("GET", "/", "/")):
        with pytest.raises(errors.OriginTimeout):
            async with transport.send(Request("GET", "/", "/")):
                pass
    await transport.aclose()


async def test_headers_that_trickle_end_with_a_timeout(
    server: Server, autojump_clock: MockClock
) -> None:
    """Each of the bytes comes in time, but they would go on for an hour."""

    async def trickle(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\n")
        while True:
            await stream.send_all(b"x: y\r\n")
            await trio.sleep(0.5)

    server.default = trickle
    transport = plain(server)
    with trio.fail_after(60), pytest.raises(errors.OriginTimeout, match="headers"):
        async with transport.send(Request("GET", "/", "/")):
            pass
    assert transport.open_connections == 0
    await transport.aclose()


async def test_a_forbidden_header_is_our_fault_and_not_repeated(server: Server) -> None:
    transport = plain(server)
    headers = {"x-oss-security-token": "VERY\r\nSECRET"}
    with pytest.raises(errors.BadRequest) as caught:
        async with transport.send(Request("GET", "/", "/", (), headers)):
            pass
    assert "SECRET" not in str(caught.value)
    await transport.aclose()


# --- TLS ---


async def test_tls_records_arrive_together_and_complete(
    server: Server, secure_port: int, certificate: Path
) -> None:
    body = bytes(range(256)) * (4 << 12)
    server.default = server.answer(200, {}, body)
    context = ssl.create_default_context(cafile=str(certificate))
    url = f"https://localhost:{secure_port}"
    transport = Transport(url, connections=1, silence_s=5, context=context)
    for _ in range(2):
        async with transport.send(Request("GET", "/", "/")) as answer:
            chunks = [chunk async for chunk in answer]
        assert b"".join(chunks) == body
        assert max(map(len, chunks)) > 16 << 10
    assert server.accepted == 1
    await transport.aclose()


async def test_an_unknown_certificate_is_refused_with_its_reason(
    server: Server, secure_port: int
) -> None:
    url = f"https://localhost:{secure_port}"
    context = ssl.create_default_context()
    transport = Transport(url, connections=1, silence_s=5, context=context)
    with pytest.raises(errors.Unreachable, match="certificate verify failed"):
        async with transport.send(Request("GET", "/", "/")):
            pass
    await transport.aclose()


async def test_cancelled_handshake_closes_the_connection(server: Server) -> None:
    """The server accepts and says nothing."""
    closed = trio.Event()

    async def silent(stream: trio.SocketStream) -> None:
        async with stream:
            while await stream.receive_some():
                pass
        closed.set()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, silent, 0)
        port = listeners[0].socket.getsockname()[1]
        stream = await network.open_tcp("127.0.0.1", port)
        with trio.move_on_after(0.05):  # the handshake has begun, or not yet: both are to close
            await network.start_tls(stream, ssl.create_default_context(), "localhost")
        with trio.fail_after(PATIENCE_S):
            await closed.wait()
        nursery.cancel_scope.cancel()


def plain(server: Server) -> Transport:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    url = f"http://127.0.0.1:{server.port}"
    return Transport(url, connections=1, silence_s=5, context=context)
