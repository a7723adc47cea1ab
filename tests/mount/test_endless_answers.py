"""Answers that never begin, or never end: they end with an error, and the mount stays well."""

import errno
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount
from support.relays import Relay
from support.waiting import PATIENCE_S

pytestmark = pytest.mark.fuse

MIB = 1 << 20
NAMES = "abcdef"


class Endless(Relay):
    """Hands requests on to the emulator, or answers all of them with ``piece`` over and over.

    If ``lasting``, an answer that has begun so goes on so, whatever the next ones are.
    """

    piece = b""
    lasting = False
    pause_s = 0.0
    begun = b"HTTP/1.1 200 OK\r\n"
    """What comes first; FIRST and LAST stand for the range that was asked for."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.underway = threading.Event()

    def relay(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            more = client.recv(65536)
            if not more:
                return
            head += more
        if piece := self.piece:
            client.sendall(_fitting(self.begun, head))
            while self.lasting or self.piece == piece:
                client.sendall(piece)
                self.underway.set()
                time.sleep(self.pause_s)
            return
        line, rest = head.split(b"\r\n", 1)
        with self.connect() as back:
            back.sendall(line + b"\r\nconnection: close\r\n" + rest)
            while data := back.recv(65536):
                client.sendall(data)


def _fitting(begun: bytes, request: bytes) -> bytes:
    if asked := re.search(rb"range: bytes=(\d+)-(\d+)", request):
        first, last = asked.groups()
        length = str(int(last) - int(first) + 1).encode()
        begun = begun.replace(b"FIRST", first).replace(b"LAST", last).replace(b"LENGTH", length)
    return begun


@pytest.fixture
def between(emulator: EmulatorProcess) -> Iterator[Endless]:
    """What stands between the mount and the emulator."""
    for name in NAMES:
        (emulator.directory / name).write_bytes(os.urandom(MIB) if name in "abcd" else bytes(MIB))
    with Endless(emulator.port) as relay:
        yield relay
        relay.piece, relay.lasting = b"", False


@pytest.fixture
def mount(between: Endless, mounts: Callable[..., Mount]) -> Mount:
    """Everything is listed, nothing is read."""
    url = f"http://127.0.0.1:{between.port}"
    mounted = mounts(options=["--endpoint", url, "--timeout", "3"]).start()
    assert sorted(os.listdir(mounted.point)) == list(NAMES)
    return mounted


def resident_mib(mount: Mount, field: str) -> int:
    status = Path(f"/proc/{mount.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith(field)]
    return int(line.split()[1]) >> 10


def start_reading(mount: Mount, names: str) -> list[threading.Thread]:
    def read(name: str) -> None:
        with suppress(OSError):
            (mount.point / name).read_bytes()

    threads = [threading.Thread(target=read, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    return threads


@pytest.mark.parametrize(
    ("begun", "piece"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\n", b"x-more: y\r\n" * 1000),
        (b"HTTP/1.1 200 ", b"y" * 65536),
        (b"HTTP/1.1 206 X\r\ntransfer-encoding: chunked\r\n\r\n", b"8000\r\n%s\r\n" % bytes(32768)),
    ],
    ids=["continue", "hints", "headers", "status", "body"],
)
def test_a_flood_is_an_error_in_time_and_takes_no_memory(
    emulator: EmulatorProcess, between: Endless, mount: Mount, begun: bytes, piece: bytes
) -> None:
    before = resident_mib(mount, "VmRSS")
    between.begun, between.piece = begun, piece
    began = time.monotonic()
    others = start_reading(mount, "bc")
    with pytest.raises(OSError) as caught:
        (mount.point / "a").read_bytes()
    assert caught.value.errno in (errno.EIO, errno.ETIMEDOUT)
    assert time.monotonic() - began < PATIENCE_S
    assert sorted(os.listdir(mount.point)) == list(NAMES)
    for other in others:
        other.join()
    assert resident_mib(mount, "VmHWM") - before < 40
    between.piece = b""
    assert (mount.point / "d").read_bytes() == (emulator.directory / "d").read_bytes()


def test_headers_that_trickle_do_not_hold_up_those_who_come_later(
    emulator: EmulatorProcess, between: Endless, mount: Mount
) -> None:
    """On a slow link few requests run at once: these few must end."""
    between.pause_s, between.lasting, between.piece = 0.2, True, b"x: y\r\n"
    stuck = start_reading(mount, "abc")
    for each in stuck:
        each.join(PATIENCE_S)
    assert not any(each.is_alive() for each in stuck)
    between.piece = b""
    assert (mount.point / "d").read_bytes() == (emulator.directory / "d").read_bytes()


def test_a_body_that_trickles_is_gone_on_with_when_the_origin_is_well(
    emulator: EmulatorProcess, between: Endless, mount: Mount
) -> None:
    """At five bytes a second its reader would sit there for days, with progress all the time."""
    between.begun = (
        "HTTP/1.1 206 X\r\ncontent-length: LENGTH\r\n"
        f"content-range: bytes FIRST-LAST/{MIB}\r\n"
        f'etag: "{mount.attribute("e", "etag")}"\r\n\r\n'
    ).encode()
    between.pause_s, between.lasting, between.piece = 0.2, True, b"\0"
    [reader] = start_reading(mount, "e")
    assert between.underway.wait(PATIENCE_S)
    between.piece = b""
    reader.join(PATIENCE_S)
    assert not reader.is_alive()
    assert mount.attribute("e", "state") == "verified"
    assert (mount.point / "d").read_bytes() == (emulator.directory / "d").read_bytes()
