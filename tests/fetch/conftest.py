"""An origin in memory that can be told to stall or fail, over a real part store."""

import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from ossfs_resume.cache.crc64 import checksum
from ossfs_resume.cache.models import CacheSettings
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.fetch.engine import Engine
from ossfs_resume.fetch.settings import FetchSettings
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.oss.range_reader import Sink
from support.waiting import PATIENCE_S

PART = 64 * 1024


class FakeOrigin:
    """Objects by key. ``allow`` bounds how many bytes of each range arrive before it stalls,
    ``ends_after`` before it ends as if that were all."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.ranges: list[tuple[str, int, int]] = []
        self.failures: list[Exception] = []
        self.allow: int | None = None
        self.ends_after: int | None = None
        self.wrong_crc = False
        self.changed = trio.Event()
        self.started = trio.Event()
        self.running = 0
        self.most_running = 0

    def put(self, key: str, size: int) -> ObjectMeta:
        """Store reproducible random bytes."""
        data = random.Random(f"{key} {size}").randbytes(size)
        self.content[key] = data
        return ObjectMeta(key, size, f"etag-{key}-{size}", 0)

    def release(self) -> None:
        """Let stalled ranges go on."""
        self.allow = None
        self.changed.set()
        self.changed = trio.Event()

    @property
    def fetched(self) -> int:
        """Bytes asked for, over all requests."""
        return sum(stop - start for _, start, stop in self.ranges)

    def open_reader(self) -> "FakeOrigin":
        """Itself: everything happens in one event loop."""
        return self

    async def read_range(self, meta: ObjectMeta, stop: int, sink: Sink) -> int | None:
        """Bring it in chunks that do not match parts."""
        start = sink.position
        self.ranges.append((meta.key, start, stop))
        self.started.set()
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await trio.lowlevel.checkpoint()
            if self.failures:
                raise self.failures.pop(0)
            data, sent = self.content[meta.key], 0
            if self.ends_after is not None:
                stop = min(stop, start + self.ends_after)
            while start + sent < stop:
                while self.allow is not None and sent >= self.allow:
                    await sink.dry()
                    await self.changed.wait()
                most = 50_000 if self.allow is None else min(50_000, self.allow - sent)
                room = sink.room()[: min(most, stop - start - sent)]
                if not room:
                    await sink.dry()
                    continue
                room[:] = data[start + sent :][: len(room)]
                sent += len(room)
                await sink.filled(len(room))
            return checksum([data]) ^ self.wrong_crc
        finally:
            self.running -= 1


@pytest.fixture
def origin() -> FakeOrigin:
    return FakeOrigin()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CacheStore]:
    store = CacheStore.open(CacheSettings(tmp_path, "bucket", PART))
    yield store
    store.close()


SETTINGS = FetchSettings(
    timeout_s=PATIENCE_S,
    connections=8,
    request_bytes=8 * PART,
    read_ahead_bytes=64 * PART,
)


@asynccontextmanager
async def running_engine(
    origin: FakeOrigin, store: CacheStore, settings: FetchSettings = SETTINGS
) -> AsyncIterator[Engine]:
    """An engine whose transfers run while the block does."""
    engine = Engine(origin, store, settings)
    async with trio.open_nursery() as nursery:
        await nursery.start(engine.run)
        yield engine
        nursery.cancel_scope.cancel()


@pytest.fixture
def running() -> Callable[..., object]:
    """`running_engine`, for tests to call."""
    return running_engine
