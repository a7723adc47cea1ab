"""How much of a version is in the cache: asked of its disk as rarely as can be.

Of most directories little is cached, or nothing. So the first who asks is told of all that is
cached below a directory, and what is known of it serves everybody for a moment, as long as the
catalogue does not change. Entries in use say in memory how far they are. Only where much is cached
a page of names, or a single one, is asked for by itself.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import trio

from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.errors import CacheError
from ossfs_resume.fetch.circuit_breaker import CircuitBreaker
from ossfs_resume.fetch.thread_calls import Asking
from ossfs_resume.vfs.interfaces import CacheView
from ossfs_resume.vfs.names import decode, parent_prefix
from ossfs_resume.vfs.page import Page

T = TypeVar("T")

PATIENCE_S = 2.0
"""How long an answer waits for the cache's disk, which may hang."""

MOMENT_S = 1.0
"""Other processes change the catalogue too."""

FEW = 1000
"""So many cached versions of a directory, and of all below it, are asked for at once."""

MANY_FOR_S = 60.0
"""A directory of which more is cached is not asked for as a whole again before."""

MAX_DIRECTORIES = 32


class Present(NamedTuple):
    """Bytes of a version that are cached, and whether somebody may be adding to them."""

    size: int
    is_live: bool


NOTHING = Present(0, False)


@dataclass(frozen=True, slots=True)
class _Below:
    """What was cached below a directory at a time, and at a state of the catalogue; None: much."""

    present: Mapping[ObjectVersion, int] | None
    asked_at: float
    changes: int


class Presence:
    """Answers for a page of a listing and for single versions; a cache that cannot say has none."""

    def __init__(self, cache: CacheView) -> None:
        self._cache = cache
        self._below: OrderedDict[str, _Below] = OrderedDict()
        self._breaker = CircuitBreaker("asked what it holds")
        self._asking = Asking(4, PATIENCE_S)

    def __repr__(self) -> str:
        return f"<Presence {len(self._below)} directories>"

    async def of(self, version: ObjectVersion) -> Present:
        """Of one version."""
        live = self._cache.open_bytes(version)
        if live is not None:
            return Present(live, True)
        prefix = parent_prefix(version.key)
        if not self._has_just_changed(prefix):
            below = await self._directory(prefix)
            if below is not None:
                return Present(below.get(version, 0), False)
        [present] = await self._ask(partial(self._cache.cached_bytes, [version])) or [0]
        return Present(present, False)

    def at_once(self, prefix: str, version: ObjectVersion) -> Present | None:
        """Of one version in a directory, if nobody need be asked; None if somebody must."""
        below = self._below.get(prefix)
        if below is None or below.present is None or below.changes != self._cache.changes:
            return None
        if trio.current_time() - below.asked_at >= MOMENT_S:
            return None
        live = self._cache.open_bytes(version)
        return Present(below.present.get(version, 0) if live is None else live, live is not None)

    async def of_page(self, page: Page) -> dict[int, Present]:
        """By row; nothing for rows of which nothing is cached or in use."""
        below = await self._directory(page.prefix)
        if below is None:
            present = await self._one_by_one(page)
        else:
            present = _in_page(page, below, False)
        return present | _in_page(page, self._cache.opened(), True)

    async def _one_by_one(self, page: Page) -> dict[int, Present]:
        columns = page.columns
        versions = [
            ObjectVersion(page.prefix + decode(name), etag, size)
            for name, etag, size in zip(page.names(), columns.etags, columns.sizes, strict=True)
        ]
        found = await self._ask(partial(self._cache.cached_bytes, versions))
        return {row: Present(size, False) for row, size in enumerate(found or ()) if size}

    async def _directory(self, prefix: str) -> Mapping[ObjectVersion, int] | None:
        """What is cached below a directory; None if that is much."""
        known, now = self._below.get(prefix), trio.current_time()
        if known is not None and not self._is_old(known, now):
            return known.present
        changes = self._cache.changes
        answer = await self._ask(partial(self._below_now, prefix))
        if answer is None:
            return {}
        self._below[prefix] = _Below(answer[0], now, changes)
        self._below.move_to_end(prefix)
        if len(self._below) > MAX_DIRECTORIES:
            self._below.popitem(last=False)
        return answer[0]

    def _has_just_changed(self, prefix: str) -> bool:
        """Whether all below a directory was asked for a moment ago, and is another by now: where
        files are being fetched it would be asked for all the time."""
        known = self._below.get(prefix)
        if known is None or known.changes == self._cache.changes:
            return False
        return trio.current_time() - known.asked_at < MOMENT_S

    def _below_now(self, prefix: str) -> tuple[Mapping[ObjectVersion, int] | None]:
        return (self._cache.cached_below(prefix, FEW),)

    def _is_old(self, known: _Below, now: float) -> bool:
        if known.present is None:
            return now - known.asked_at >= MANY_FOR_S
        return now - known.asked_at >= MOMENT_S or known.changes != self._cache.changes

    async def _ask(self, question: Callable[[], T]) -> T | None:
        """What the cache says, unless its disk fails or hangs: no ``ls`` waits for that."""
        if self._breaker.is_resting(trio.current_time()):
            return None
        try:
            answer = await self._asking.ask(question)
        except CacheError as error:
            self._breaker.failed(error, trio.current_time())
            return None
        self._breaker.succeeded(trio.current_time())
        return answer


def _in_page(page: Page, found: Mapping[ObjectVersion, int], is_live: bool) -> dict[int, Present]:
    present = {}
    for version, size in found.items():
        is_here = version.key.startswith(page.prefix) and "/" not in version.key[len(page.prefix) :]
        row = page.row_of_version(version) if is_here else None
        if row is not None:
            present[row] = Present(size, is_live)
    return present
