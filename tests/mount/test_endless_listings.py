"""Listings that never end: who asks gets an error in time, and the mount stays small and well."""

import errno
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount
from support.relays import Relay
from support.waiting import eventually

pytestmark = pytest.mark.fuse


class Lists(Relay):
    """Hands requests on to the emulator, but answers listings by ``names`` of a page's number,
    with another page always to follow."""

    names: Callable[[int], list[str]] | None = None

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.pages = 0

    def relay(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            more = client.recv(65536)
            if not more:
                return
            head += more
        line, rest = head.split(b"\r\n", 1)
        if self.names is not None and b"list-type=2" in line:
            client.sendall(self.page(line, self.names))
            return
        with self.connect() as back:
            back.sendall(line + b"\r\nconnection: close\r\n" + rest)
            while data := back.recv(65536):
                client.sendall(data)

    def page(self, line: bytes, names: Callable[[int], list[str]]) -> bytes:
        self.pages += 1
        token = re.search(rb"continuation-token=(\d+)", line)
        prefix = re.search(rb"prefix=([^& ]*)", line)
        number = int(token[1]) if token else 0
        start = prefix[1].decode() if prefix else ""
        body = "".join(
            f"<Contents><Key>{start}{name}</Key><Size>1</Size><ETag>E</ETag>"
            "<LastModified>2020-05-18T05:45:43.000Z</LastModified></Contents>"
            for name in names(number)
        )
        text = (
            "<ListBucketResult><EncodingType>url</EncodingType><KeyCount>1</KeyCount>"
            "<IsTruncated>true</IsTruncated>"
            f"<NextContinuationToken>{number + 1}</NextContinuationToken>{body}</ListBucketResult>"
        ).encode()
        answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(text)
        return answer + text


@pytest.fixture
def between(emulator: EmulatorProcess) -> Iterator[Lists]:
    (emulator.directory / "file").write_bytes(b"content")
    with Lists(emulator.port) as relay:
        yield relay


@pytest.fixture
def mount(between: Lists, mounts: Callable[..., Mount]) -> Mount:
    url = f"http://127.0.0.1:{between.port}"
    options = ["--endpoint", url, "--timeout", "6", "--metadata-ttl", "0.1"]
    return mounts(options=options).start()


def resident_mib(mount: Mount) -> int:
    status = Path(f"/proc/{mount.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) >> 10


@pytest.mark.parametrize("names", [["a", "b"], []], ids=["same", "empty"])
def test_pages_that_lead_nowhere(mount: Mount, between: Lists, names: list[str]) -> None:
    between.names = lambda number: names
    with pytest.raises(OSError) as caught:
        os.listdir(mount.point)
    assert caught.value.errno == errno.EIO
    if not names:
        for ask in (os.stat, os.listdir, os.open):
            with pytest.raises(OSError) as caught:
                ask(mount.point / "unknown", *([os.O_RDONLY] if ask is os.open else []))
            assert caught.value.errno == errno.EIO
    assert "the listing walks in circles" in mount.log.read_text()
    between.names = None
    eventually(lambda: listing(mount) == ["file"])
    assert (mount.point / "file").read_bytes() == b"content"


def listing(mount: Mount) -> list[str]:
    with suppress(OSError):
        return os.listdir(mount.point)
    return []


def test_new_names_without_end_are_asked_for_only_as_somebody_reads(
    mount: Mount, between: Lists
) -> None:
    between.names = lambda number: [f"{number:08}-{i:04}" for i in range(1000)]
    with os.scandir(mount.point) as entries:
        names = [next(entries).name for _ in range(5000)]
        assert names[-1] == "00000004-0999"
        before = resident_mib(mount)
        asked = between.pages
        assert (mount.point / "unknown").is_dir()  # one more page says that keys are below
        eventually(lambda: mount.statistics()["tree"]["list_requests"] >= asked)
    assert between.pages < asked + 20
    assert resident_mib(mount) - before < 40
