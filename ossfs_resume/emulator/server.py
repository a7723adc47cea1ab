"""The endpoint as a process: uvicorn on a socket of ours, until a signal."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from ossfs_resume.emulator.app import Endpoint
from ossfs_resume.emulator.bucket import Bucket
from ossfs_resume.emulator.faults import Faults
from ossfs_resume.emulator.object_facts import Inventions
from ossfs_resume.emulator.sending import Connection
from ossfs_resume.emulator.signature import Account

_STATUS = {signal.SIGINT: 130, signal.SIGTERM: 0}


@dataclass(frozen=True, slots=True)
class Settings:
    """What is served, to whom, and where; ``port`` 0 takes a free one."""

    directory: Path
    bucket: str
    account: Account
    host: str = "127.0.0.1"
    port: int = 9000
    faults: Faults = field(default_factory=Faults)
    inventions: Inventions = field(default_factory=Inventions)
    versioned: bool = False


def serve(settings: Settings, on_listening: Callable[[int], None]) -> int:
    """Serve until SIGINT or SIGTERM and return the exit status.

    ``on_listening`` hears the port once connections are accepted. Raises OSError if the address
    cannot be bound or the directory cannot be read.
    """
    bucket = Bucket(settings.directory, settings.inventions, versioned=settings.versioned)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.create_server((settings.host, settings.port), family=family)
    # asyncio does this itself only for sockets that were created with the protocol's number.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Its only errors are those of connections that faults break on purpose; ours are logged apart.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    try:
        return asyncio.run(_serve(settings, bucket, listener, on_listening))
    finally:
        listener.close()


async def _serve(
    settings: Settings,
    bucket: Bucket,
    listener: socket.socket,
    on_listening: Callable[[int], None],
) -> int:
    endpoint = Endpoint(settings.bucket, bucket, settings.account, settings.faults)
    config = uvicorn.Config(
        endpoint,
        http=Connection,
        interface="asgi3",
        lifespan="off",
        ws="none",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,  # the endpoint sends its own
        timeout_keep_alive=60,
    )
    server = _Server(config, lambda: on_listening(listener.getsockname()[1]))
    await server.serve(sockets=[listener])
    bucket.facts.close()
    return server.status


class _Server(uvicorn.Server):
    """Ends at once: open connections are cut, as when a real server dies."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening
        self.status = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Turn signals into an exit status; uvicorn would raise them again at the end."""
        loop = asyncio.get_running_loop()
        for number in _STATUS:
            loop.add_signal_handler(number, self._stop, number)
        yield

    def _stop(self, number: signal.Signals) -> None:
        self.status = _STATUS[number]
        self.should_exit = True
        self.force_exit = True
