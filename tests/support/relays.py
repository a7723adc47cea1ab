"""What stands between a client and the emulator: TLS, or an HTTP proxy."""

import re
import socket
import socketserver
import ssl
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Self


class Relay:
    """A server in a thread that hands connections on to ``port`` of this machine."""

    def __init__(self, port: int) -> None:
        self._target = port
        owner = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):  # ssl.SSLError is one: a client that does not like us
                    owner.relay(self.request)

        socketserver.ThreadingTCPServer.daemon_threads = True
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])

    def relay(self, client: socket.socket) -> None:
        """Serve one connection."""
        raise NotImplementedError

    def connect(self) -> socket.socket:
        """A connection to the emulator."""
        return socket.create_connection(("127.0.0.1", self._target))

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class TlsFront(Relay):
    """Speaks TLS with a certificate for ``localhost`` and ``127.0.0.1``."""

    def __init__(self, port: int, certificate: Path) -> None:
        super().__init__(port)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate)

    def relay(self, client: socket.socket) -> None:
        with self._context.wrap_socket(client, server_side=True) as secure, self.connect() as back:
            _pump(secure, back)


class HttpProxy(Relay):
    """A forward proxy for which every host is the emulator, or for tunnels the port ``tunnel_to``.

    ``asked`` holds the first line of each request; with ``password`` (user:password in base64)
    nobody else is served.
    """

    def __init__(self, port: int, *, password: str = "", tunnel_to: int = 0) -> None:
        super().__init__(port)
        self._password = password
        self._tunnel_to = tunnel_to
        self.asked: list[str] = []

    def relay(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            more = client.recv(65536)
            if not more:
                return
            head += more
        line = head.split(b"\r\n", 1)[0].decode()
        self.asked.append(line)
        if self._password and f"basic {self._password}".lower() not in head.decode().lower():
            client.sendall(
                b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
            )
            return
        if line.startswith("CONNECT "):
            with socket.create_connection(("127.0.0.1", self._tunnel_to)) as back:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _pump(client, back)
            return
        method, target, version = line.split(" ")
        path = re.sub(r"^http://[^/]+", "", target)
        rest = head.split(b"\r\n", 1)[1]
        with self.connect() as back:
            back.sendall(f"{method} {path} {version}\r\nconnection: close\r\n".encode() + rest)
            _pump(client, back)


def make_certificate(directory: Path, days: int = 2) -> Path:
    """A self-signed certificate with its key for localhost and 127.0.0.1, in one PEM file."""
    path = directory / "both.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split()
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", f"{path}.key", "-out", f"{path}.crt", "-days", str(days)]
    subprocess.run([*command, *name, *files], check=True, capture_output=True)
    path.write_bytes(Path(f"{path}.key").read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


def _pump(one: Any, other: Any) -> None:
    """Hand bytes on in both directions until either side ends."""

    def copy(source: Any, sink: Any) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    back = threading.Thread(target=copy, args=(other, one), daemon=True)
    back.start()
    copy(one, other)
    back.join()
