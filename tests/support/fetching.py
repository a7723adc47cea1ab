"""What the tests of fetching share beside their fixtures."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from ossfs_resume.fetch.download import Download
from ossfs_resume.fetch.engine import Engine
from ossfs_resume.fetch.readahead import AccessPattern
from ossfs_resume.fetch.reader import Data

PART = 64 * 1024
SIZE = 40 * PART + 777

Running = Callable[..., AbstractAsyncContextManager[Engine]]


async def read(
    engine: Engine,
    download: Download,
    offset: int,
    length: int,
    pattern: AccessPattern | None = None,
) -> Data:
    """As the file system reads; without a ``pattern`` at random."""
    data = engine.read_at_once(download, pattern or AccessPattern(), offset, length)
    return data if data is not None else await engine.read(download, offset, length)


async def read_all(engine: Engine, download: Download, step: int = 30_000) -> bytes:
    """The whole object, as one sequential reader gets it."""
    pattern, data = AccessPattern(), b""
    size = download.meta.size
    while len(data) < size:
        data += await read(engine, download, len(data), min(step, size - len(data)), pattern)
    return data
