"""One origin for all: nginx over a directory, with a front for listings.

Three servers show the same bucket: as fast as this machine can, far away (every request waits 30 ms
and every connection gets 50 MB/s), and by TLS. Signatures are not looked at. Beside OSS's headers
each object carries its CRC-64, so that who compares it has that work to do as well.
"""

import os
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from front import Front, Item, Listing

from ossfs_resume.cache.crc64 import checksum

BUCKET = "sample"
LATENCY_S = 0.03
CONNECTION_RATE = "50m"

_CONFIGURATION = """
load_module /usr/lib/nginx/modules/ndk_http_module.so;
load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;
worker_processes 2;
pid {place}/nginx.pid;
error_log {place}/error.log warn;
user root;
events {{ worker_connections 4096; }}
http {{
    log_format sizes '$body_bytes_sent $request_method $uri';
    access_log {place}/access.log sizes;
    client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
    sendfile on; tcp_nopush on; tcp_nodelay on;
    keepalive_requests 1000000; keepalive_timeout 300s;
    open_file_cache max=50000 inactive=600s; open_file_cache_valid 600s;
    map_hash_max_size 262144; map_hash_bucket_size 128;
    map $uri $crc64 {{ include {place}/crc64.map; }}
    upstream front {{ server unix:{place}/front; keepalive 64; }}
    server {{ listen 127.0.0.1:{fast}; {locations} }}
    server {{ listen 127.0.0.1:{far}; {slow} {locations} }}
    server {{
        listen 127.0.0.1:{tls} ssl;
        ssl_certificate {place}/certificate.pem; ssl_certificate_key {place}/key.pem;
        {locations}
    }}
}}
"""
_SLOW = "access_by_lua_block {{ ngx.sleep({seconds}) }} limit_rate {rate};"
_LOCATIONS = """
    root {root};
    # OSS takes an ETag without quotes as well, and oss2 sends it so.
    rewrite_by_lua_block {{
        local etag = ngx.var.http_if_match
        if etag and etag:sub(1, 1) ~= '"' then
            ngx.req.set_header("If-Match", '"' .. etag .. '"')
        end
    }}
    add_header x-oss-request-id 5C3D9175B6FC201293AD4890 always;
    add_header x-oss-object-type Normal; add_header x-oss-storage-class Standard;
    add_header x-oss-hash-crc64ecma $crc64;
    location = /{bucket} {{ proxy_pass http://front; proxy_http_version 1.1;
        proxy_set_header Connection ""; }}
    location = /{bucket}/ {{ proxy_pass http://front; proxy_http_version 1.1;
        proxy_set_header Connection ""; }}
    location / {{
        default_type application/octet-stream;
        if (-d $request_filename) {{ return 404; }}
    }}
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where it can be reached, and what it has sent."""

    place: Path
    bucket: Path
    fast: str
    far: str
    tls: str

    @property
    def certificate(self) -> Path:
        return self.place / "certificate.pem"

    def sent_bytes(self) -> int:
        """Bytes of bodies since it was started."""
        time.sleep(0.05)  # nginx writes its line after the last byte
        with (self.place / "access.log").open() as log:
            return sum(int(line.partition(" ")[0]) for line in log)


@contextmanager
def serving(place: Path, bucket: Path) -> Iterator[Origin]:
    """Serve ``bucket/sample`` on three free ports."""
    fast, far, tls = _free_ports(3)
    items = _items(bucket / BUCKET)
    _write_crc64(place / "crc64.map", bucket)
    _make_certificate(place)
    front = Front(str(place / "front"), Listing(items))
    threading.Thread(target=front.serve_forever, daemon=True).start()
    locations = _LOCATIONS.format(root=bucket, bucket=BUCKET)
    configuration = place / "nginx.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            place=place, fast=fast, far=far, tls=tls, locations=locations,
            slow=_SLOW.format(seconds=LATENCY_S, rate=CONNECTION_RATE),
        )
    )  # fmt: skip
    command = ["nginx", "-c", str(configuration), "-p", str(place), "-g", "daemon off;"]
    process = subprocess.Popen(command)
    try:
        _wait(f"http://127.0.0.1:{fast}/{BUCKET}/large", process)
        yield Origin(
            place, bucket / BUCKET, f"http://127.0.0.1:{fast}", f"http://127.0.0.1:{far}",
            f"https://127.0.0.1:{tls}",
        )  # fmt: skip
    finally:
        process.terminate()
        process.wait()
        front.shutdown()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _items(bucket: Path) -> Mapping[str, Item]:
    found = {}
    for folder, _, files in os.walk(bucket):
        for name in files:
            path = Path(folder, name)
            status = path.stat()
            # nginx's own: the time of change and the size, in hexadecimal.
            etag = f"{int(status.st_mtime):x}-{status.st_size:x}"
            found[str(path.relative_to(bucket))] = Item(status.st_size, etag)
    return found


def _write_crc64(path: Path, bucket: Path) -> None:
    lines = []
    for folder, _, files in os.walk(bucket):
        for name in files:
            file = Path(folder, name)
            lines.append(f'"/{file.relative_to(bucket)}" "{checksum([file.read_bytes()])}";\n')
    path.write_text("".join(lines))


def _make_certificate(place: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "7", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(place / "key.pem"), "-out", str(place / "certificate.pem")],
        check=True, capture_output=True,
    )  # fmt: skip


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, method="HEAD")
    for _ in range(200):
        if process.poll() is not None:
            raise SystemExit("nginx did not start; its error.log says why")
        try:
            opener.open(request, timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("nginx does not answer")
