"""Sending an answer at the speed, and as far, as the faults in force allow.

An endpoint that misbehaves on purpose must be able to end a connection within an answer, and one
that holds an answer back must see that the client has gone: ASGI keeps both from an application,
so it is given the `Connection`.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ossfs_resume.emulator.answer import Answer, Endless, FilePart
from ossfs_resume.emulator.control import FaultControl
from ossfs_resume.emulator.faults import Decision, Pacer, slice_size

STATE_KEY = "connection"


class Connection(HttpToolsProtocol):
    """uvicorn's protocol; every request finds it in ``scope["state"]``."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.lost = asyncio.Event()
        self.pacer = Pacer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"][STATE_KEY] = self

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        super().connection_lost(exc)

    def close(self) -> None:
        """End the connection after what was sent, as a server that stops early."""
        self.transport.close()

    def reset(self) -> None:
        """End the connection with RST: lingering for no time makes the kernel send one."""
        stream = self.transport.get_extra_info("socket")
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


CHUNK_BYTES = 512 * 1024
"""Large enough to make the event loop's work per chunk small, small enough for the CPU's cache."""


class ClientGone(OSError):
    """The client closed the connection within its request body."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer on a connection."""

    connection: Connection
    receive: Receive
    send: Send
    target: str = ""

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the request's body; raises `ClientGone` if it ends early."""
        has_more = True
        while has_more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            yield message.get("body", b"")
            has_more = message.get("more_body", False)


async def send_answer(
    exchange: Exchange,
    answer: Answer,
    shared: dict[str, str],
    decision: Decision,
    control: FaultControl,
    on_sent: Callable[[int], None],
) -> None:
    """Send status, headers and body; ``on_sent`` hears of every chunk of a file."""
    body = answer.body
    headers = {"Server": "AliyunOSS", **shared, **answer.headers}
    if answer.status != 304 and not isinstance(body, Endless):
        length = len(body.span) if isinstance(body, FilePart) else len(body)
        headers = {"Content-Length": str(length)} | headers
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await exchange.send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    if isinstance(body, FilePart):
        await _stream(exchange, body, decision, control, on_sent)
    elif isinstance(body, Endless):
        await _send_on_and_on(exchange, body)
    else:
        await exchange.send({"type": "http.response.body", "body": body})


async def _send_on_and_on(exchange: Exchange, body: Endless) -> None:
    sent, chunk = 0, body.head + body.piece
    while sent < body.at_least and not exchange.connection.lost.is_set():
        await exchange.send({"type": "http.response.body", "body": chunk, "more_body": True})
        sent, chunk = sent + len(chunk), body.piece
        await asyncio.sleep(0)  # a connection that is gone lets all through without a wait
    await exchange.send({"type": "http.response.body", "body": b""})


async def _stream(
    exchange: Exchange,
    part: FilePart,
    decision: Decision,
    control: FaultControl,
    on_sent: Callable[[int], None],
) -> None:
    """Send a file's bytes; ends early if the client goes, or by fault, or if the file shrank."""
    position, stop = part.span.start, part.span.stop
    cut = decision.truncate_after_bytes
    end = stop if cut is None else min(stop, position + cut)
    while position < end:
        sent = position - part.span.start
        size = await _permit(exchange, decision, control, sent, end - position)
        chunk = part.stored.read(position, size)
        if not chunk or exchange.connection.lost.is_set():
            break
        position += len(chunk)
        on_sent(len(chunk))
        await exchange.send(
            {"type": "http.response.body", "body": chunk, "more_body": position < stop}
        )
    if part.span and position < stop:
        exchange.connection.close()
        await exchange.connection.lost.wait()
    elif not part.span:
        await exchange.send({"type": "http.response.body", "body": b""})


async def _permit(
    exchange: Exchange, decision: Decision, control: FaultControl, sent: int, left: int
) -> int:
    """Wait until the next of ``left`` bytes may go; return how many."""
    lost = exchange.connection.lost
    while _is_stalled(decision, control, sent) and not lost.is_set():
        await wait_until(control.changed, lost)
    faults = control.faults
    rates = (faults.connection_bytes_per_s, faults.total_bytes_per_s)
    size = min(left, slice_size(rates, CHUNK_BYTES))
    limit = decision.stall_after_bytes
    if faults.can_stall and limit is not None and sent < limit:
        size = min(size, limit - sent)
    now = asyncio.get_running_loop().time()
    pacers = (exchange.connection.pacer, control.total_pacer)
    paced = [(pacer, rate) for pacer, rate in zip(pacers, rates, strict=True) if rate > 0]
    if paced:
        timeout_s = max(pacer.reserve(size, rate, now) for pacer, rate in paced)
        await wait_until(control.changed, lost, timeout_s=timeout_s)
    return size


def _is_stalled(decision: Decision, control: FaultControl, sent: int) -> bool:
    limit = decision.stall_after_bytes
    return control.faults.can_stall and limit is not None and sent >= limit


async def wait_until(*events: asyncio.Event, timeout_s: float | None = None) -> None:
    """Return when one of the events is set or the time is over."""
    waiters = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiters, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()
