"""The HTTP connection, with the two things that ASGI keeps from an application.

An endpoint that misbehaves on purpose must be able to end a connection within an answer, and one
that holds an answer back must see that the client has gone.
"""

import asyncio
import socket
import struct
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ossfs_resume.emulator.pacing import Pacer

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
