"""What the tests of fetching share beside their fixtures."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from ossfs_resume.fetch.download import Download
from ossfs_resume.fetch.engine import Engine
from ossfs_resume.fetch.readahead import AccessPattern

PART = 64 * 1024
SIZE = 40 * PART + 777

Running = Callable[..., AbstractAsyncContextManager[Engine]]


async def read_all(engine: Engine, download: Download, step: int = 30_000) -> bytes:
    """The whole object, as one sequential reader gets it."""
    pattern, data = AccessPattern(), b""
    size = download.meta.size
    while len(data) < size:
        data += await engine.read(download, pattern, len(data), min(step, size - len(data)))
    return data
