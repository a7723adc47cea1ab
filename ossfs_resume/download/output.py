"""One object to a pipe: its bytes in order, a few requests ahead of the one that reads."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ossfs_resume.download.report import Report
from ossfs_resume.fetch.download import Download
from ossfs_resume.fetch.engine import Engine
from ossfs_resume.oss.models import ObjectMeta

PIECE_BYTES = 4 << 20
AHEAD = 8


async def write_to(descriptor: int, engine: Engine, meta: ObjectMeta, report: Report) -> None:
    """Write all of an object, the last piece only when the whole was proven.

    Raises OssfsError, and OSError of the descriptor.
    """
    download = await engine.open(meta)
    try:
        async with _pieces(engine, download) as pieces:
            async for piece in pieces:
                await trio.to_thread.run_sync(_write, descriptor, piece, abandon_on_cancel=True)
                report.done += len(piece)
    finally:
        engine.close(download)


@asynccontextmanager
async def _pieces(engine: Engine, download: Download) -> AsyncIterator[AsyncIterator[bytes]]:
    size = download.meta.size
    send, receive = trio.open_memory_channel[_Box](AHEAD)

    async def fetch() -> None:
        async with send:
            for start in range(0, size, PIECE_BYTES):
                box = _Box()
                await send.send(box)
                nursery.start_soon(read, start, box)

    async def read(start: int, box: _Box) -> None:
        box.data = bytes(await engine.read(download, start, min(PIECE_BYTES, size - start)))
        box.filled.set()

    async def in_order() -> AsyncIterator[bytes]:
        async for box in receive:
            await box.filled.wait()
            yield box.data

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetch)
        yield in_order()


class _Box:
    def __init__(self) -> None:
        self.data = b""
        self.filled = trio.Event()


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
