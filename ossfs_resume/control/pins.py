"""Pins: data that stay in the cache until they are unpinned.

A pin reserves the object's whole size at once, or is refused; then the object is fetched like any
other job. A directory's pin is that of every object below it at this moment: all of them, or none.
Millions of keys fit into no memory, so a listing of more than a page is read twice: for the room
that all need, which is reserved, and for the keys.
"""

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Protocol

from ossfs_resume.cache.keeper import Keeper, in_blocks
from ossfs_resume.control.errands import Errands
from ossfs_resume.control.jobs import Jobs
from ossfs_resume.control.persistence import insist
from ossfs_resume.fetch.thread_calls import Asking
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.oss.paging import pages


class Lister(Protocol):
    """What pins need of the bucket."""

    async def list_page(
        self, prefix: str, *, token: str = "", delimiter: str = "/", max_keys: int = 1000
    ) -> ListPage: ...


class Pins:
    """All methods belong to the event loop."""

    def __init__(self, lister: Lister, keeper: Keeper, jobs: Jobs, errands: Errands) -> None:
        self._lister = lister
        self._keeper = keeper
        self._jobs = jobs
        self._errands = errands
        self._asking, self._long_asking = Asking(), Asking(1, math.inf)

    async def pin(self, path: str, meta: ObjectMeta | None) -> None:
        """Pin an object, or all below a prefix, and fetch it.

        Raises NoSpace, CacheError, OriginError; for a large directory they come too late and go to
        the log.
        """
        if meta is None:
            await self._errands.run(f"pin {path}", partial(self._pin_below, path))
        else:
            await self._pin(path, [(meta.key, meta.size)], self._asking)

    async def unpin(self, path: str, meta: ObjectMeta | None) -> None:
        """Let go; the data stay until something else needs their space. Raises CacheError."""
        await self._asking.ask(partial(self._keeper.unpin, path))

    async def is_pinned(self, key: str) -> bool:
        """Whether the object of this key is pinned. Raises CacheError."""
        return await self._asking.ask(partial(self._keeper.is_pinned, key))

    async def _pin_below(self, prefix: str) -> None:
        size = count = 0
        objects: list[tuple[str, int]] = []
        async with aclosing(self._pages(prefix)) as found:
            async for page in found:
                objects = page
                size += sum(taken for _, taken in in_blocks(page))
                count += 1
        if count > 1:
            await self._pin_by_pages(prefix, size)
            objects = []
        await self._pin(prefix, objects, self._long_asking)

    async def _pin_by_pages(self, prefix: str, size: int) -> None:
        ask, keeper = self._long_asking.ask, self._keeper
        await ask(partial(keeper.reserve, prefix, size))
        async with aclosing(self._pages(prefix)) as found:
            async for page in found:
                await ask(partial(keeper.pin_reserved, prefix, page))
        await ask(partial(keeper.end_reservation, prefix))

    async def _pages(self, prefix: str) -> AsyncGenerator[list[tuple[str, int]], None]:
        """Keys and sizes of what has bytes below a prefix, page by page; an origin that is away is
        waited for."""

        async def ask(token: str) -> ListPage:
            page = partial(self._lister.list_page, prefix, token=token, delimiter="")
            return await insist(f"pin {prefix}", page)

        async with aclosing(pages(ask)) as found:
            async for page in found:
                yield [(meta.key, meta.size) for meta in page.objects if meta.size]

    async def _pin(self, path: str, objects: list[tuple[str, int]], asking: Asking) -> None:
        await asking.ask(partial(self._keeper.pin, objects))
        await self._jobs.add(path)
