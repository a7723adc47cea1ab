"""A bucket in memory, and an engine over it that fetches by adding to a list."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from ossfs_resume.cache.models import StoredJob
from ossfs_resume.control.jobs import Jobs
from ossfs_resume.errors import NotFound, OssfsError
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.vfs.names import is_at_or_below


class Bucket:
    """Objects by key; pages of two keys, so that every listing has several."""

    def __init__(self, *keys: str) -> None:
        self.objects = {key: ObjectMeta(key, 10, f"etag-{key}", 0) for key in keys}
        self.failures: list[OssfsError] = []

    async def list_page(
        self, prefix: str, *, token: str = "", delimiter: str = "/", max_keys: int = 1000
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        if self.failures:
            raise self.failures.pop(0)
        keys = [key for key in sorted(self.objects) if key.startswith(prefix) and key > token]
        page = tuple(self.objects[key] for key in keys[:2])
        return ListPage(page, (), page[-1].key if len(keys) > 2 else "")

    async def head(self, key: str) -> ObjectMeta:
        await trio.lowlevel.checkpoint()
        if key not in self.objects:
            raise NotFound(key)
        return self.objects[key]


@dataclass
class Arrived:
    """Stands for the progress of an entry."""

    present_bytes: int = 0


@dataclass
class OpenedEntry:
    """Stands for an entry."""

    progress: Arrived = field(default_factory=Arrived)


@dataclass(eq=False)
class Opened:
    """Stands for a download."""

    meta: ObjectMeta
    entry: OpenedEntry = field(default_factory=OpenedEntry)


@dataclass
class RecordingEngine:
    """``failures`` are raised by successive fills; ``hold`` makes every fill wait."""

    filled: list[ObjectMeta] = field(default_factory=list)
    failures: list[OssfsError] = field(default_factory=list)
    hold: bool = False
    on_failure: Callable[[], object] = bool
    opened: int = 0
    cached: dict[str, int] = field(default_factory=dict)
    """Of how many bytes each key has before it is filled."""
    done: trio.Event = field(default_factory=trio.Event)

    async def open(self, meta: ObjectMeta) -> Opened:
        self.opened += 1
        return Opened(meta, OpenedEntry(Arrived(self.cached.get(meta.key, 0))))

    async def fill(self, download: Opened) -> None:
        await trio.lowlevel.checkpoint()
        if self.hold:
            await trio.sleep_forever()
        if self.failures:
            self.on_failure()
            raise self.failures.pop(0)
        self.filled.append(download.meta)
        self.done.set()

    def close(self, download: Opened) -> None:
        self.opened -= 1


class JobRows:
    """The catalogue's rows of jobs."""

    def __init__(self) -> None:
        self.rows: dict[int, str] = {}
        self.paused: set[str] = set()
        self._next = 1

    def add_job(self, path_key: str) -> int:
        number, self._next = self._next, self._next + 1
        self.rows[number] = path_key
        return number

    def jobs(self) -> list[StoredJob]:
        return [StoredJob(*row, row[1] in self.paused) for row in self.rows.items()]

    def pause_jobs(self, path: str, *, is_paused: bool) -> None:
        rows = {row for row in self.rows.values() if is_at_or_below(row, path)}
        self.paused = self.paused | rows if is_paused else self.paused - rows

    def remove_job(self, job_id: int) -> None:
        self.rows.pop(job_id, None)

    def remove_jobs(self, path: str) -> int:
        before = len(self.rows)
        self.rows = {
            number: row for number, row in self.rows.items() if not is_at_or_below(row, path)
        }
        return before - len(self.rows)


@pytest.fixture
def engine() -> RecordingEngine:
    return RecordingEngine()


@pytest.fixture
def rows() -> JobRows:
    return JobRows()


@pytest.fixture
def make_bucket() -> Callable[..., Bucket]:
    return Bucket


@asynccontextmanager
async def running_jobs(
    bucket: Bucket, engine: RecordingEngine, rows: JobRows, prefix: str = ""
) -> AsyncIterator[Jobs]:
    """Jobs that run while the block does."""
    jobs = Jobs(bucket, engine, rows, prefix=prefix)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        await nursery.start(jobs.run)
        yield jobs
        nursery.cancel_scope.cancel()


@pytest.fixture
def running() -> Callable[..., object]:
    return running_jobs
