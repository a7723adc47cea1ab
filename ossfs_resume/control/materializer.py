"""What a job does: fetch an object, or all below a prefix, until it is here or refused for good.

A prefix is listed as it is worked on: one page of names is held, and so many objects are fetched at
once, of all jobs together. What the network or the cache's disk keeps from it is tried again for
ever.
"""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import TypeVar

import trio

from ossfs_resume.control.interfaces import Fetcher, Origin
from ossfs_resume.control.job import Flight, Job
from ossfs_resume.control.persistence import RETRY_SECONDS, insist
from ossfs_resume.errors import (
    NotFound,
    ObjectChanged,
    OssfsError,
)
from ossfs_resume.fetch.open_downloads import version_of
from ossfs_resume.fetch.recent_errors import LastErrors
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.oss.paging import pages
from ossfs_resume.supervision import explained

Result = TypeVar("Result")

log = logging.getLogger(__name__)

FILES_AT_ONCE = 16


class Materializer:
    """Performs jobs. ``failed`` and ``delayed`` tell, by key or prefix, what was given up of late
    and what is tried again. ``require_room`` raises NoSpace for a key and size that the cache
    cannot keep.
    """

    def __init__(
        self,
        origin: Origin,
        engine: Fetcher,
        require_room: Callable[[str, int], Awaitable[None]] | None,
    ) -> None:
        self._origin = origin
        self._engine = engine
        self._require_room = require_room
        self.failed, self.delayed = LastErrors[str](), LastErrors[str]()
        self._files = trio.CapacityLimiter(FILES_AT_ONCE)

    def __repr__(self) -> str:
        return f"<Materializer {self._files.borrowed_tokens} objects>"

    async def perform(self, job: Job) -> None:
        """Fetch all of a job. Raises OssfsError if the origin refuses for good."""
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
            self.fail(job, meta.key, error)
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
            f"materialize {path}", attempt, lambda error: self.delayed.keep(path, error)
        )
        self.delayed.keep(path, None)
        self.failed.keep(path, None)
        return result

    def fail(self, job: Job, path: str, error: Exception) -> None:
        """One line for a job whose objects all fail; `error` tells of each."""
        if job.failed and isinstance(error, OssfsError):
            log.debug("materialize %s: %s", path, error)
        else:
            error = explained(f"materialize {path}", error)
        job.fail(path, error)
        self.delayed.keep(path, None)
        self.failed.keep(path, error)


def has_bytes(meta: ObjectMeta) -> bool:
    """Whether there is anything to fetch of it."""
    return bool(meta.size)
