"""Objects that are fetched to their end because somebody asked for it.

A job names a key, or a prefix that ends in ``/`` for everything below it. It is a row in the
catalogue from the moment it is accepted until it is done, so a restart goes on with it. A job never
gives up for want of a network; it ends without success only when the origin refuses for good.

Mounts of several prefixes may share a cache. A job belongs to the path that it was asked for: a
mount goes on with those that lie within its own prefix, whose users can see and cancel them, and
leaves the others to a mount that covers them. The row is the job: where another process removed it
(a cancel in another mount, `cache clear`), the job ends within seconds; where it was paused there,
it waits.

A paused job stays so, over a remount too, until it is resumed or asked for again.
"""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import trio

from ossfs_resume.control.interfaces import Fetcher, JobStore, Origin
from ossfs_resume.control.job import Flight, Job, JobReport
from ossfs_resume.control.persistence import RETRY_SECONDS, insist
from ossfs_resume.errors import (
    CacheError,
    NotFound,
    ObjectChanged,
    OssfsError,
)
from ossfs_resume.fetch.open_downloads import version_of
from ossfs_resume.fetch.recent_errors import LastErrors
from ossfs_resume.fetch.thread_calls import Asking
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.oss.paging import pages
from ossfs_resume.supervision import explained, kept_running, supervised
from ossfs_resume.vfs.names import is_at_or_below

Result = TypeVar("Result")

log = logging.getLogger(__name__)

FILES_AT_ONCE = 16
LOOK_SECONDS = 2.0
"""How often jobs are compared with their rows."""
ENDED_MOST = 20_000
"""Of so many jobs it is remembered how they ended: lists of files are asked for one by one."""


@dataclass(frozen=True, slots=True)
class JobsBelow:
    """What is asked for below a prefix. ``queued``, ``running`` (it fetches something there at this
    moment) and ``paused`` count jobs, ``failed`` what was given up of late; ``error`` is the newest
    one, of what failed or of what is tried again."""

    queued: int
    running: int
    failed: int
    error: OssfsError | None
    paused: int = 0

    def counts(self) -> dict[str, int]:
        """The numbers by name."""
        names = ("queued", "running", "paused", "failed")
        return {name: getattr(self, name) for name in names}


class Jobs:
    """Runs the jobs; all methods belong to the event loop.

    ``prefix`` is what all keys of the mount start with. ``require_room`` raises NoSpace for a key
    and size that the cache cannot keep.
    """

    def __init__(
        self,
        origin: Origin,
        engine: Fetcher,
        store: JobStore,
        require_room: Callable[[str, int], Awaitable[None]] | None = None,
        prefix: str = "",
    ) -> None:
        self._origin = origin
        self._engine = engine
        self._store = store
        self._require_room = require_room
        self._prefix = prefix
        self._jobs: dict[str, Job] = {}
        self._ended: dict[str, JobReport] = {}
        self._failed, self._delayed = LastErrors[str](), LastErrors[str]()
        self._files = trio.CapacityLimiter(FILES_AT_ONCE)
        # Held while a row is added or removed, so that rows and jobs always agree.
        self._rows = trio.Lock()
        self._asking = Asking()
        self._nursery: trio.Nursery | None = None

    def __repr__(self) -> str:
        return f"<Jobs {len(self._jobs)} accepted>"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Go on with what an earlier process left, then serve until cancelled."""
        async with trio.open_nursery() as self._nursery:
            try:
                left = await self._asking.ask(self._store.jobs)
            except CacheError as error:
                log.warning("cannot read the jobs that were left: %s", error)
                left = []
            for row in left:
                if row.path.startswith(self._prefix):
                    self._start(Job(*row))
            task_status.started()
            await kept_running("looking after the jobs", self._follow_rows)

    async def add(self, path: str) -> None:
        """Accept a job; one that is accepted already goes on. Raises CacheError."""
        async with self._rows:
            known = self._jobs.get(path)
            if known is None:
                number = await self._asking.ask(partial(self._store.add_job, path))
                self._start(Job(number, path))
            elif known.is_paused:
                await self._mark(path, is_paused=False)
                self._replace(known, is_paused=False)

    async def pause(self, path: str) -> None:
        """Have the jobs for this path and below it wait, other mounts' too, until they are resumed,
        after a remount as well. Raises CacheError."""
        await self._pause(path, is_paused=True)

    async def resume(self, path: str) -> None:
        """Have the jobs for this path and below it go on. Raises CacheError."""
        await self._pause(path, is_paused=False)

    async def _pause(self, path: str, *, is_paused: bool) -> None:
        async with self._rows:
            await self._mark(path, is_paused=is_paused)
            for job in list(self._jobs.values()):
                if is_at_or_below(job.path, path):
                    self._replace(job, is_paused=is_paused)

    async def _mark(self, path: str, *, is_paused: bool) -> None:
        await self._asking.ask(partial(self._store.pause_jobs, path, is_paused=is_paused))

    async def cancel(self, path: str) -> None:
        """Drop the jobs for this path and below it, other mounts' too, and what is known of failed
        ones; what has arrived stays cached. Raises CacheError."""
        async with self._rows:
            for job in list(self._jobs.values()):
                if is_at_or_below(job.path, path):
                    self._drop(job)
            for ended in [ended for ended in self._ended if is_at_or_below(ended, path)]:
                if self._ended[ended].state != "cancelled":
                    del self._ended[ended]
            for errors in (self._failed, self._delayed):
                errors.forget(lambda failed: is_at_or_below(failed, path))
            await self._asking.ask(partial(self._store.remove_jobs, path))

    def state(self, key: str) -> str:
        """``fetching``, ``queued``, ``paused``, ``failed``, or empty if no job concerns it."""
        if any(key in job.fetching for job in self._jobs.values()):
            return "fetching"
        if covering := [job for job in self._jobs.values() if job.covers(key)]:
            return "paused" if all(job.is_paused for job in covering) else "queued"
        return "failed" if self._failed.of(key) else ""

    def error(self, path: str) -> OssfsError | None:
        """Why the last job for this path failed, or cannot get on."""
        return self._delayed.of(path) or self._failed.of(path)

    def below(self, prefix: str) -> JobsBelow:
        """What is asked for below a prefix."""
        jobs = [job for job in self._jobs.values() if job.concerns(prefix)]
        running = sum(job.is_fetching_below(prefix) for job in jobs)
        paused = sum(job.is_paused for job in jobs)
        errors = [
            [error for path, error in kept.newest_first() if path.startswith(prefix)]
            for kept in (self._delayed, self._failed)
        ]
        newest = next((error for each in errors for error in each), None)
        queued = len(jobs) - running - paused
        return JobsBelow(queued, running, len(errors[1]), newest, paused)

    def report(self, path: str) -> JobReport | None:
        """How far the job for exactly this path is, or how the last one ended."""
        job = self._jobs.get(path)
        if job is None:
            return self._ended.get(path)
        delayed = (self._delayed.of(one) for one in (path, *job.fetching))
        return job.report(error=str(next(filter(None, delayed), "")))

    # --- jobs and their rows ---

    def _start(self, job: Job) -> None:
        if self._nursery is not None and job.path not in self._jobs:
            self._jobs[job.path] = job
            self._ended.pop(job.path, None)
            if job.is_paused:
                return
            name = f"materialize {job.path}"
            self._nursery.start_soon(supervised, name, partial(self._run, job))

    def _drop(self, job: Job) -> None:
        self._stop(job)
        self._end(job, "cancelled")

    def _replace(self, job: Job, *, is_paused: bool) -> None:
        if job.is_paused != is_paused:
            self._stop(job)
            self._start(Job(job.number, job.path, is_paused))

    def _stop(self, job: Job) -> None:
        job.scope.cancel()
        del self._jobs[job.path]
        self._delayed.keep(job.path, None)
        for key in job.fetching:
            self._delayed.keep(key, None)

    def _end(self, job: Job, state: str) -> None:
        """Remember how it ended, for who waits for it."""
        self._ended[job.path] = replace(job.report(state), transferring=())
        if len(self._ended) > ENDED_MOST:
            del self._ended[next(iter(self._ended))]

    async def _follow_rows(self) -> None:
        while True:
            await trio.sleep(LOOK_SECONDS)
            if self._jobs:
                await self._obey_rows()

    async def _obey_rows(self) -> None:
        async with self._rows:
            try:
                rows = {row.path: row for row in await self._asking.ask(self._store.jobs)}
            except CacheError:
                return  # nobody can have changed anything
            for job in list(self._jobs.values()):
                if job.path in rows:
                    self._replace(job, is_paused=rows[job.path].is_paused)
                else:
                    self._drop(job)

    async def _run(self, job: Job) -> None:
        with job.scope:
            try:
                await self._perform(job)
            except Exception as error:
                self._fail(job, job.path, error)
            if job.failed > 1:
                log.warning("materialize %s: %d objects failed", job.path, job.failed)
            async with self._rows:
                self._jobs.pop(job.path, None)
                self._end(job, "failed" if job.failed else "done")
                try:
                    await self._asking.ask(partial(self._store.remove_job, job.number))
                except CacheError as error:
                    log.warning("cannot remove a finished job: %s", error)

    # --- what a job does ---

    async def _perform(self, job: Job) -> None:
        if job.is_prefix:
            await self._fetch_below(job)
        else:
            meta = await self._insist(job.path, partial(self._origin.head, job.path))
            job.count([meta], is_all=True)
            await self._fetch(meta, job)

    async def _fetch_below(self, job: Job) -> None:
        refusal: Exception | None = None
        async with trio.open_nursery() as nursery, aclosing(self._pages(job.path)) as listing:
            is_first = True
            try:
                async for page in listing:
                    if is_first:
                        nursery.start_soon(self._count, job, page)
                    is_first = False
                    for meta in filter(has_bytes, page.objects):
                        turn = object()
                        await self._files.acquire_on_behalf_of(turn)
                        nursery.start_soon(self._fetch_in_turn, meta, job, turn)
            except Exception as error:
                refusal = error  # raised below: a nursery would wrap it in a group
        if refusal is not None:
            raise refusal

    async def _count(self, job: Job, first: ListPage) -> None:
        """Say how much there is. What is fetched holds one page of a listing, so one that has more
        is read twice."""
        job.count(filter(has_bytes, first.objects), is_all=not first.next_token)
        if not first.next_token:
            return
        try:
            async with aclosing(self._pages(job.path, first.next_token)) as listing:
                async for page in listing:
                    job.count(filter(has_bytes, page.objects), is_all=not page.next_token)
        except OssfsError as error:
            log.debug("materialize %s: cannot count the rest: %s", job.path, error)

    def _pages(self, prefix: str, start: str = "") -> AsyncGenerator[ListPage, None]:
        async def ask(token: str) -> ListPage:
            attempt = partial(self._origin.list_page, prefix, token=token or start, delimiter="")
            return await self._insist(prefix, attempt)

        return pages(ask)

    async def _fetch_in_turn(self, meta: ObjectMeta, job: Job, turn: object) -> None:
        try:
            if meta.object_type.lower() == "symlink":  # listed with the size of its target's name
                listed = meta.size
                meta = await self._insist(meta.key, partial(self._origin.head, meta.key))
                job.resized(meta, listed)
            await self._fetch(meta, job)
        except Exception as error:
            self._fail(job, meta.key, error)
        finally:
            self._files.release_on_behalf_of(turn)

    async def _fetch(self, meta: ObjectMeta, job: Job) -> None:
        """Fetch one object, or its successor if it is replaced meanwhile."""
        key = meta.key
        flight, is_done = job.begin(meta), False
        try:
            while not is_done:
                try:
                    await self._insist(key, partial(self._fill, meta, flight))
                    is_done = True
                except (ObjectChanged, NotFound):
                    refused = version_of(meta)
                    meta = await self._insist(key, partial(self._origin.head, key))
                    job.resized(meta, flight.size)
                    if version_of(meta) == refused:  # HEAD and GET disagree: do not ask in a ring
                        await trio.sleep(RETRY_SECONDS)
        finally:
            job.end(key, is_done=is_done)

    async def _fill(self, meta: ObjectMeta, flight: Flight) -> None:
        if self._require_room is not None:
            await self._require_room(meta.key, meta.size)
        download = await self._engine.open(meta)
        flight.opened(download.entry.progress)
        try:
            await self._engine.fill(download)
        finally:
            self._engine.close(download)

    async def _insist(self, path: str, attempt: Callable[[], Awaitable[Result]]) -> Result:
        """Try until it succeeds or fails for good."""
        result = await insist(
            f"materialize {path}", attempt, lambda error: self._delayed.keep(path, error)
        )
        self._delayed.keep(path, None)
        self._failed.keep(path, None)
        return result

    def _fail(self, job: Job, path: str, error: Exception) -> None:
        """One line for a job whose objects all fail; `error` tells of each."""
        if job.failed and isinstance(error, OssfsError):
            log.debug("materialize %s: %s", path, error)
        else:
            error = explained(f"materialize {path}", error)
        job.fail(path, error)
        self._delayed.keep(path, None)
        self._failed.keep(path, error)


def has_bytes(meta: ObjectMeta) -> bool:
    """Whether there is anything to fetch of it."""
    return bool(meta.size)
