"""Pins: data that stay in the cache until they are unpinned.

A pin reserves the object's whole size at once, or is refused; then the object is fetched like any
other job. A directory's pin is that of every object below it at this moment: all of them, or none.
"""

import math
from functools import partial
from typing import Protocol

from ossfs_resume.cache.keeper import Keeper
from ossfs_resume.control.errands import Errands
from ossfs_resume.control.jobs import Jobs
from ossfs_resume.fetch.asking import Asking
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
        objects: list[tuple[str, int]] = []
        async for page in pages(
            lambda token: self._lister.list_page(prefix, token=token, delimiter="")
        ):
            objects += [(meta.key, meta.size) for meta in page.objects if meta.size]
        await self._pin(prefix, objects, self._long_asking)

    async def _pin(self, path: str, objects: list[tuple[str, int]], asking: Asking) -> None:
        await asking.ask(partial(self._keeper.pin, objects))
        await self._jobs.add(path)
