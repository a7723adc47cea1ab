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
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

import trio

from ossfs_resume.control.interfaces import Fetcher, JobStore, Origin
from ossfs_resume.control.job import Job, JobReport
from ossfs_resume.control.materializer import Materializer
from ossfs_resume.errors import CacheError, InUse, OssfsError
from ossfs_resume.fetch.thread_calls import Asking
from ossfs_resume.supervision import kept_running, supervised
from ossfs_resume.vfs.names import is_at_or_below
from ossfs_resume.wording import quoted

log = logging.getLogger(__name__)

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
        self._work = Materializer(origin, engine, require_room)
        self._store = store
        self._prefix = prefix
        self._jobs: dict[str, Job] = {}
        self._ended: dict[str, JobReport] = {}
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
        after a remount as well. Raises InUse if it is part of a larger job, CacheError."""
        await self._pause(path, is_paused=True)

    async def resume(self, path: str) -> None:
        """Have the jobs for this path and below it go on. Raises like `pause`."""
        await self._pause(path, is_paused=False)

    async def _pause(self, path: str, *, is_paused: bool) -> None:
        async with self._rows:
            self._require_no_larger(path)
            await self._mark(path, is_paused=is_paused)
            for job in list(self._jobs.values()):
                if is_at_or_below(job.path, path):
                    self._replace(job, is_paused=is_paused)

    def _require_no_larger(self, path: str) -> None:
        """Nobody shall believe that something was stopped which goes on."""
        if any(is_at_or_below(job.path, path) for job in self._jobs.values()):
            return
        if larger := next((job for job in self._jobs.values() if job.covers(path)), None):
            raise InUse(f"{quoted(path)} is fetched with all of {quoted(larger.path or '/')}")

    async def _mark(self, path: str, *, is_paused: bool) -> None:
        await self._asking.ask(partial(self._store.pause_jobs, path, is_paused=is_paused))

    async def cancel(self, path: str) -> None:
        """Drop the jobs for this path and below it, other mounts' too, and what is known of failed
        ones; what has arrived stays cached. Raises InUse if it is part of a larger job, CacheError.
        """
        async with self._rows:
            self._require_no_larger(path)
            for job in list(self._jobs.values()):
                if is_at_or_below(job.path, path):
                    self._drop(job)
            for ended in [ended for ended in self._ended if is_at_or_below(ended, path)]:
                if self._ended[ended].state != "cancelled":
                    del self._ended[ended]
            for errors in (self._work.failed, self._work.delayed):
                errors.forget(lambda failed: is_at_or_below(failed, path))
            await self._asking.ask(partial(self._store.remove_jobs, path))

    def state(self, key: str) -> str:
        """``fetching``, ``queued``, ``paused``, ``failed``, or empty if no job concerns it."""
        if any(key in job.fetching for job in self._jobs.values()):
            return "fetching"
        if covering := [job for job in self._jobs.values() if job.covers(key)]:
            return "paused" if all(job.is_paused for job in covering) else "queued"
        return "failed" if self._work.failed.of(key) else ""

    def error(self, path: str) -> OssfsError | None:
        """Why the last job for this path failed, or cannot get on."""
        return self._work.delayed.of(path) or self._work.failed.of(path)

    def below(self, prefix: str) -> JobsBelow:
        """What is asked for below a prefix."""
        jobs = [job for job in self._jobs.values() if job.concerns(prefix)]
        running = sum(job.is_fetching_below(prefix) for job in jobs)
        paused = sum(job.is_paused for job in jobs)
        errors = [
            [error for path, error in kept.newest_first() if path.startswith(prefix)]
            for kept in (self._work.delayed, self._work.failed)
        ]
        newest = next((error for each in errors for error in each), None)
        queued = len(jobs) - running - paused
        return JobsBelow(queued, running, len(errors[1]), newest, paused)

    def report(self, path: str) -> JobReport | None:
        """How far the job for exactly this path is, or how the last one ended."""
        job = self._jobs.get(path)
        if job is None:
            return self._ended.get(path)
        delayed = (self._work.delayed.of(one) for one in (path, *job.fetching))
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
        self._work.delayed.keep(job.path, None)
        for key in job.fetching:
            self._work.delayed.keep(key, None)

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
                await self._work.perform(job)
            except Exception as error:
                self._work.fail(job, job.path, error)
            if job.failed > 1:
                log.warning("materialize %s: %d objects failed", job.path, job.failed)
            async with self._rows:
                self._jobs.pop(job.path, None)
                self._end(job, "failed" if job.failed else "done")
                try:
                    await self._asking.ask(partial(self._store.remove_job, job.number))
                except CacheError as error:
                    log.warning("cannot remove a finished job: %s", error)
