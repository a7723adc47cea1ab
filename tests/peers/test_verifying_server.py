"""A server that checks what arrives with the official SDK's own signer accepts our client."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

from ossfs_resume.oss.client import OssClient
from ossfs_resume.oss.credentials import StaticCredentials
from ossfs_resume.oss.endpoint import parse_endpoint
from ossfs_resume.oss.models import Credentials
from ossfs_resume.oss.range_reader import MemorySink
from ossfs_resume.oss.settings import ClientSettings

pytestmark = pytest.mark.peers

BODY = bytes(range(256)) * 40
ETAG = "5B3C1A2E053D763E1B002CC607C5A0FE"
LISTING = b"""<?xml version="1.0"?><ListBucketResult><EncodingType>url</EncodingType>
<IsTruncated>false</IsTruncated></ListBucketResult>"""
KEYS = ["plain", "dir/文件 #1?%41~!'()*.txt", "a//b/../c", "../up", "a+b=c&d;e", "line\nbreak"]
ACCOUNT = Credentials("ak", "sk", "tok/en+1==")


class Handler(BaseHTTPRequestHandler):
    """Answers 403 to a signature that the SDK would not have made."""

    protocol_version = "HTTP/1.1"
    refused: list[str]

    def do_HEAD(self) -> None:
        self._answer(200, len(BODY), b"")

    def do_GET(self) -> None:
        if "list-type" in self.path:
            self._answer(200, len(LISTING), LISTING)
            return
        first, last = map(int, self.headers["range"].removeprefix("bytes=").split("-"))
        part = BODY[first : last + 1]
        self._answer(206, len(part), part, f"bytes {first}-{last}/{len(BODY)}")

    def _answer(self, status: int, length: int, body: bytes, content_range: str = "") -> None:
        if self._expected() != self.headers["authorization"].rpartition("Signature=")[2]:
            self.refused.append(self.path)
            status, length, body = 403, 0, b""
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("ETag", f'"{ETAG}"')
        self.send_header("Last-Modified", "Mon, 23 Nov 2026 12:00:00 GMT")
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        self.wfile.write(body)

    def _expected(self) -> str:
        from alibabacloud_oss_v2.signer import SignerV4
        from alibabacloud_oss_v2.types import Credentials as Keys
        from alibabacloud_oss_v2.types import HttpRequest, SigningContext

        headers = {name.lower(): value for name, value in self.headers.items()}
        del headers["authorization"]
        key = unquote(urlsplit(self.path).path.removeprefix("/bucket/"), errors="surrogateescape")
        request = HttpRequest(self.command, f"http://{headers['host']}{self.path}", headers)
        time = datetime.strptime(headers["x-oss-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        keys = Keys(ACCOUNT.access_key_id, ACCOUNT.access_key_secret, ACCOUNT.security_token)
        SignerV4().sign(
            SigningContext(
                product="oss",
                region="cn-hangzhou",
                bucket="bucket",
                key=key or None,
                request=request,
                credentials=keys,
                signing_time=time,
            )
        )
        return str(request.headers["Authorization"]).rpartition("Signature=")[2]

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    Handler.refused = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def client(server: ThreadingHTTPServer, account: Credentials = ACCOUNT) -> OssClient:
    url = f"http://127.0.0.1:{server.server_port}"
    settings = ClientSettings(parse_endpoint("bucket", url, "cn-hangzhou"), timeout_s=5)
    return OssClient(settings, StaticCredentials(account))


async def test_it_accepts_listings_heads_and_ranges_of_odd_keys(
    server: ThreadingHTTPServer,
) -> None:
    async with client(server) as ours:
        for key in KEYS:
            sink = MemorySink(100, 4900)
            await ours.list_page(key)
            await ours.read_range(await ours.head(key), 5000, sink)
            assert sink.data == BODY[100:5000]
    assert Handler.refused == []


async def test_it_refuses_another_secret(server: ThreadingHTTPServer) -> None:
    from ossfs_resume.errors import AccessDenied

    async with client(server, Credentials("ak", "other", ACCOUNT.security_token)) as ours:
        with pytest.raises(AccessDenied):
            await ours.head("plain")
    assert len(Handler.refused) == 1
