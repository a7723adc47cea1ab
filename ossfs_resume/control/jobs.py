"""Objects that are fetched to their end because somebody asked for it.

A job names a key, or a prefix that ends in ``/`` for everything below it. It is a row in the
catalogue from the moment it is accepted until it is done, so a restart goes on with it. A job never
gives up for want of a network; it ends without success only when the origin refuses for good.
"""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import TypeVar

import trio

from ossfs_resume.control.interfaces import Fetcher, JobStore, Origin
from ossfs_resume.control.job import Job, is_prefix
from ossfs_resume.errors import (
    CacheError,
    NoProgress,
    NotFound,
    ObjectChanged,
    OssfsError,
    ShuttingDown,
    TransientError,
)
from ossfs_resume.fetch.asking import Asking
from ossfs_resume.fetch.opening import version_of
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.oss.paging import Trail

Result = TypeVar("Result")

log = logging.getLogger(__name__)

FILES_AT_ONCE = 16
RETRY_SECONDS = 5.0
RETRY_SECONDS_MOST = 60.0


class Jobs:
    """Runs the jobs; all methods belong to the event loop.

    ``require_room`` raises NoSpace for a key and size that the cache cannot keep.
    """

    def __init__(
        self,
        origin: Origin,
        engine: Fetcher,
        store: JobStore,
        require_room: Callable[[str, int], Awaitable[None]] | None = None,
    ) -> None:
        self._origin = origin
        self._engine = engine
        self._store = store
        self._require_room = require_room
        self._jobs: dict[str, Job] = {}
        self._fetching: set[str] = set()
        self._errors: dict[str, OssfsError] = {}
        self._files = trio.CapacityLimiter(FILES_AT_ONCE)
        # Held while a row is added or removed, so that rows and jobs always agree.
        self._rows = trio.Lock()
        self._asking = Asking()
        self._nursery: trio.Nursery | None = None

    def __repr__(self) -> str:
        return f"<Jobs {len(self._jobs)} accepted, {len(self._fetching)} files fetching>"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Go on with what an earlier process left, then serve until cancelled."""
        async with trio.open_nursery() as self._nursery:
            try:
                left = await self._asking.ask(self._store.jobs)
            except CacheError as error:
                log.warning("cannot read the jobs that were left: %s", error)
                left = []
            for number, path in left:
                self._start(Job(number, path))
            task_status.started()
            await trio.sleep_forever()

    async def add(self, path: str) -> None:
        """Accept a job; one that is accepted already is left alone. Raises CacheError."""
        async with self._rows:
            if path not in self._jobs:
                number = await self._asking.ask(partial(self._store.add_job, path))
                self._start(Job(number, path))

    async def cancel(self, path: str) -> None:
        """Drop the jobs for this path and below it; what has arrived stays cached."""
        async with self._rows:
            for job in list(self._jobs.values()):
                if job.path == path or (is_prefix(path) and job.path.startswith(path)):
                    job.scope.cancel()
                    del self._jobs[job.path]
                    await self._forget(job)

    async def _forget(self, job: Job) -> None:
        await self._asking.ask(partial(self._store.remove_job, job.number))

    def state(self, key: str) -> str:
        """``fetching``, ``queued``, ``failed``, or empty if no job concerns this object."""
        if key in self._fetching:
            return "fetching"
        if any(job.covers(key) for job in self._jobs.values()):
            return "queued"
        return "failed" if key in self._errors else ""

    def error(self, key: str) -> OssfsError | None:
        """Why the last job for this object failed, or cannot get on."""
        return self._errors.get(key)

    def _start(self, job: Job) -> None:
        if self._nursery is not None and job.path not in self._jobs:
            self._jobs[job.path] = job
            self._nursery.start_soon(self._run, job)

    async def _run(self, job: Job) -> None:
        with job.scope:
            try:
                await self._perform(job)
            except OssfsError as error:
                self._fail(job.path, error)
            async with self._rows:
                self._jobs.pop(job.path, None)
                try:
                    await self._forget(job)
                except CacheError as error:
                    log.warning("cannot remove a finished job: %s", error)

    async def _perform(self, job: Job) -> None:
        if job.is_prefix:
            await self._fetch_below(job.path)
        else:
            await self._fetch(await self._insist(job.path, partial(self._origin.head, job.path)))

    async def _fetch_below(self, prefix: str) -> None:
        refusal: OssfsError | None = None
        async with trio.open_nursery() as nursery, aclosing(self._walk(prefix)) as objects:
            try:
                async for meta in objects:
                    turn = object()
                    await self._files.acquire_on_behalf_of(turn)
                    nursery.start_soon(self._fetch_in_turn, meta, turn)
            except OssfsError as error:
                refusal = error  # raised below: a nursery would wrap it in a group
        if refusal is not None:
            raise refusal

    async def _walk(self, prefix: str) -> AsyncGenerator[ObjectMeta, None]:
        token, trail = "", Trail()
        while True:
            ask = partial(self._origin.list_page, prefix, token=token, delimiter="")
            page = await self._insist(prefix, ask)
            for meta in page.objects:
                if meta.size:
                    yield meta
            token = trail.follow(page.next_token)
            if not token:
                return

    async def _fetch_in_turn(self, meta: ObjectMeta, turn: object) -> None:
        try:
            if meta.object_type.lower() == "symlink":  # listed with the size of its target's name
                meta = await self._insist(meta.key, partial(self._origin.head, meta.key))
            await self._fetch(meta)
        except OssfsError as error:
            self._fail(meta.key, error)
        finally:
            self._files.release_on_behalf_of(turn)

    async def _fetch(self, meta: ObjectMeta) -> None:
        """Fetch one object, or its successor if it is replaced meanwhile."""
        key = meta.key
        self._fetching.add(key)
        try:
            while True:
                try:
                    return await self._insist(key, partial(self._fill, meta))
                except (ObjectChanged, NotFound):
                    refused = version_of(meta)
                    meta = await self._insist(key, partial(self._origin.head, key))
                    if version_of(meta) == refused:  # HEAD and GET disagree: do not ask in a ring
                        await trio.sleep(RETRY_SECONDS)
        finally:
            self._fetching.discard(key)

    async def _fill(self, meta: ObjectMeta) -> None:
        if self._require_room is not None:
            await self._require_room(meta.key, meta.size)
        download = await self._engine.open(meta)
        try:
            await self._engine.fill(download)
        finally:
            self._engine.close(download)

    async def _insist(self, path: str, attempt: Callable[[], Awaitable[Result]]) -> Result:
        """Try until it succeeds or fails for good, with growing waits between."""
        seconds = RETRY_SECONDS
        while True:
            try:
                result = await attempt()
            except ShuttingDown:
                await trio.sleep_forever()  # until cancelled; the row stays for the next mount
            except (TransientError, NoProgress, CacheError) as error:
                self._errors[path] = error
                log.info("materialize %s: %s; trying again in %g s", path, error, seconds)
                await trio.sleep(seconds)
                seconds = min(seconds * 2, RETRY_SECONDS_MOST)
            else:
                self._errors.pop(path, None)
                return result

    def _fail(self, path: str, error: OssfsError) -> None:
        self._errors[path] = error
        log.warning("materialize %s: %s", path, error)
