"""A TCP server that records the exact bytes of every request and answers as a test tells it."""

import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from ossfs_resume.oss.client import OssClient
from ossfs_resume.oss.credentials import StaticCredentials
from ossfs_resume.oss.endpoint import parse_endpoint
from ossfs_resume.oss.models import Credentials
from ossfs_resume.oss.settings import ClientSettings

Handler = Callable[[trio.SocketStream], Awaitable[None]]
CREDENTIALS = StaticCredentials(Credentials("ak", "sk"))
NO_ROOTS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading the real ones takes 20 ms a test


@dataclass(frozen=True)
class Received:
    """One request as it was on the wire."""

    head: bytes

    @property
    def method(self) -> str:
        return self.head.split(b" ", 1)[0].decode()

    @property
    def target(self) -> str:
        return self.head.split(b" ", 2)[1].decode("ascii")

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines if line)
        return {name.lower(): value.strip() for name, _, value in pairs}


@dataclass
class RawServer:
    """Answers with ``script`` in order, then always with ``default``."""

    port: int = 0
    script: list[bytes | Handler] = field(default_factory=list)
    default: bytes | Handler | None = None
    received: list[Received] = field(default_factory=list)
    accepted: int = 0
    open: int = 0
    all_closed: trio.Event = field(default_factory=trio.Event)

    def client(self, **options: Any) -> OssClient:
        """A client of this server that loses no time between attempts."""
        endpoint = parse_endpoint("bucket", f"http://127.0.0.1:{self.port}", "cn-hangzhou")
        names = ("timeout_s", "connections", "metadata_connections", "signature")
        chosen = {name: options.pop(name) for name in names if name in options}
        settings = ClientSettings(endpoint, **{"timeout_s": 5.0} | chosen)
        defaults = {"credentials": CREDENTIALS, "jitter": lambda: 0.0, "context": NO_ROOTS}
        return OssClient(settings, **defaults | options)

    async def serve(self, stream: trio.SocketStream) -> None:
        self.accepted += 1
        self.open += 1
        self.all_closed = trio.Event()
        try:
            while head := await self._head(stream):
                self.received.append(Received(head))
                reply = self.script.pop(0) if self.script else self.default
                assert reply is not None, f"no answer is scripted for {head!r}"
                await (stream.send_all(reply) if isinstance(reply, bytes) else reply(stream))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            await trio.aclose_forcefully(stream)
            self.open -= 1
            if not self.open:
                self.all_closed.set()

    @staticmethod
    async def _head(stream: trio.SocketStream) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            more = await stream.receive_some()
            if not more:
                return b""
            head += more
        return head

    @staticmethod
    def answer(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
        """An answer with the right Content-Length unless another (or "") is given."""
        lines = {"content-length": str(len(body)), "x-oss-request-id": "ID-1"} | (headers or {})
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        return f"HTTP/1.1 {status} Reason\r\n{head}\r\n".encode() + body

    @classmethod
    def ranged(
        cls, body: bytes, start: int, total: int, headers: dict[str, str] | None = None
    ) -> bytes:
        """A right answer to a ranged GET of the version E1."""
        fields = {
            "content-range": f"bytes {start}-{start + len(body) - 1}/{total}",
            "etag": '"E1"',
            "x-oss-hash-crc64ecma": "42",
        }
        return cls.answer(206, fields | (headers or {}), body)

    @staticmethod
    async def hang(stream: trio.SocketStream) -> None:
        """Says nothing until the other side goes away."""
        await stream.receive_some()

    @staticmethod
    def cut(data: bytes) -> Handler:
        """Sends ``data`` and closes the connection."""

        async def send(stream: trio.SocketStream) -> None:
            await stream.send_all(data)
            await stream.aclose()

        return send

    @classmethod
    def stall(cls, data: bytes) -> Handler:
        """Sends ``data`` and then nothing more."""

        async def send(stream: trio.SocketStream) -> None:
            await stream.send_all(data)
            await cls.hang(stream)

        return send


@pytest.fixture
async def server(nursery: trio.Nursery) -> RawServer:
    raw = RawServer()
    listeners = await nursery.start(trio.serve_tcp, raw.serve, 0)
    raw.port = listeners[0].socket.getsockname()[1]
    return raw


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(path), "-out", str(path) + ".crt"]
    subprocess.run([*command.split(), *name, *files], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


@pytest.fixture
def trusting(certificate: Path) -> ssl.SSLContext:
    """Trusts the certificate of ``secure_port``."""
    return ssl.create_default_context(cafile=str(certificate))


@pytest.fixture
async def secure_port(server: RawServer, certificate: Path, nursery: trio.Nursery) -> int:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def serve(stream: trio.SocketStream) -> None:
        try:
            await server.serve(trio.SSLStream(stream, context, server_side=True))
        except (trio.BrokenResourceError, ssl.SSLError):
            await trio.aclose_forcefully(stream)

    listeners = await nursery.start(trio.serve_tcp, serve, 0)
    return int(listeners[0].socket.getsockname()[1])


@pytest.fixture
async def client(server: RawServer) -> AsyncIterator[OssClient]:
    async with server.client() as made:
        yield made


@pytest.fixture
def autojump_clock() -> MockClock:
    """trio's, but a busy kernel may take a moment from one end of a connection to the other, in
    which nobody is to run out of time."""
    return MockClock(autojump_threshold=0.02)


@pytest.fixture
async def pausing(server: RawServer, autojump_clock: MockClock) -> AsyncIterator[OssClient]:
    """A client that gives up after ten pauses, which take no time.

    A test has to name ``autojump_clock`` as well, or pytest-trio runs it on the real one.
    """
    async with server.client(jitter=lambda: 1.0) as made:
        yield made
