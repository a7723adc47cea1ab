"""What a verb does beside downloading: pin, evict, read again and compare, ask for names again.

Short work is waited for, long work goes on in the background (`Errands`).

A pin reserves the object's whole size at once, or is refused; then the object is fetched like any
other job. A directory's pin is that of every object below it at this moment: all of them, or none.
Millions of keys fit into no memory, so a listing of more than a page is read twice: for the room
that all need, which is reserved, and for the keys.
"""

import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Protocol

import trio

from ossfs_resume.cache.eviction import Rank
from ossfs_resume.cache.keeper import Keeper, in_blocks
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.control.jobs import Jobs
from ossfs_resume.control.persistence import insist
from ossfs_resume.errors import CorruptObject, InUse, OssfsError
from ossfs_resume.fetch.download import Download
from ossfs_resume.fetch.open_downloads import version_of
from ossfs_resume.fetch.recent_errors import LastErrors
from ossfs_resume.fetch.thread_calls import Asking
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.oss.paging import pages
from ossfs_resume.supervision import explained, supervised
from ossfs_resume.wording import counted, quoted

PATIENCE_S = 2.0
"""How long a verb may keep its caller waiting for the outcome."""


class Errands:
    """Runs work in a nursery that outlives every call."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    async def run(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Start ``work`` and wait a while for it. Raises what it raised by then; what comes later
        goes to the log, where ``name`` says whose it is."""
        outcome: list[Exception | None] = []
        ended = trio.Event()
        self._nursery.start_soon(self._perform, work, outcome, ended)
        with trio.move_on_after(PATIENCE_S):
            await ended.wait()
        if not outcome:
            self._nursery.start_soon(self._report, name, outcome, ended)
        elif outcome[0] is not None:
            raise outcome[0]

    async def _perform(
        self,
        work: Callable[[], Awaitable[None]],
        outcome: list[Exception | None],
        ended: trio.Event,
    ) -> None:
        try:
            await work()
        except Exception as error:
            outcome.append(error)
        else:
            outcome.append(None)
        ended.set()

    async def _report(self, name: str, outcome: list[Exception | None], ended: trio.Event) -> None:
        await ended.wait()
        if outcome[0] is not None:
            explained(name, outcome[0])

    def begin(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Start ``work``; what it raises goes to the log."""
        self._nursery.start_soon(supervised, name, work)


CLOSING_S = 1.0
"""The kernel tells of a close(2) some time after the program did it: mostly within milliseconds."""
FIRST_RETRY_S = 0.02


class Namespace(Protocol):
    """What this needs of the tree."""

    def refresh(self, inode: int) -> None: ...


class Verifier(Protocol):
    """What this needs of the fetch engine."""

    async def open(self, meta: ObjectMeta) -> Download: ...

    async def verify(self, download: Download) -> int: ...

    def close(self, download: Download) -> None: ...


class Care:
    """All methods belong to the event loop. ``on_bad`` is told of versions of which cached bytes
    were bad."""

    def __init__(
        self,
        tree: Namespace,
        engine: Verifier,
        keeper: Keeper,
        nursery: trio.Nursery,
        on_bad: Callable[[ObjectVersion], None],
    ) -> None:
        self._tree = tree
        self._engine = engine
        self._keeper = keeper
        self._on_bad = on_bad
        self._errands = Errands(nursery)
        # A walk through all of a large catalogue takes its time, in the background.
        self._asking, self._long_asking = Asking(), Asking(2, math.inf)
        self._one_at_a_time = trio.Lock()
        self._errors = LastErrors[str]()

    def error(self, key: str) -> OssfsError | None:
        """What the last `verify` of this object found wrong."""
        return self._errors.of(key)

    def newest_error(self, prefix: str) -> OssfsError | None:
        """What was found wrong last below a prefix."""
        newest = (error for key, error in self._errors.newest_first() if key.startswith(prefix))
        return next(newest, None)

    # --- eviction ---

    async def evict(self, path: str, meta: ObjectMeta | None) -> None:
        """Remove what is cached of an object, or of all below a prefix.

        Raises InUse for an object that is open or pinned; below a prefix such objects stay.
        """
        if meta is None:
            await self._errands.run(f"evict {path}", partial(self._evict_below, path))
        elif await self._asking.ask(partial(self._keeper.is_pinned, meta.key)):
            raise InUse(f"{quoted(meta.key)} is pinned")
        else:
            await self._evict(version_of(meta))

    async def _evict_below(self, path: str) -> None:
        await self._long_asking.ask(partial(self._keeper.evict_below, path))

    async def _evict(self, version: ObjectVersion) -> None:
        deadline, seconds = trio.current_time() + CLOSING_S, FIRST_RETRY_S
        while True:
            try:
                return await self._asking.ask(partial(self._keeper.evict, version))
            except InUse:
                if trio.current_time() >= deadline:
                    raise
            await trio.sleep(seconds)
            seconds *= 2

    # --- verification ---

    async def verify(self, path: str, meta: ObjectMeta | None) -> None:
        """Begin to read what is cached again and to compare it; `error` tells what was wrong."""
        name = f"verify {path}"
        if meta is None:
            self._errands.begin(name, partial(self._verify_below, path))
        else:
            self._errands.begin(name, partial(self._verify_all, [meta]))

    async def _verify_below(self, path: str) -> None:
        await self._verify_all(await self._long_asking.ask(partial(self._cached_below, path)))

    def _cached_below(self, path: str) -> list[ObjectMeta]:
        return [
            ObjectMeta(record.version.key, record.version.size, record.version.etag, 0)
            for record in self._keeper.records(path)
            if record.row.bytes_present and record.rank != Rank.SUPERSEDED
        ]

    async def _verify_all(self, metas: list[ObjectMeta]) -> None:
        async with self._one_at_a_time:
            for meta in metas:
                self._errors.keep(meta.key, None)
                try:
                    await self._verify(meta)
                except Exception as error:
                    self._errors.keep(meta.key, explained(f"verify {meta.key}", error))

    async def _verify(self, meta: ObjectMeta) -> None:
        download = await self._engine.open(meta)
        try:
            count = await self._engine.verify(download)
        finally:
            self._engine.close(download)
        if count:
            # The kernel may have taken pages from the file after it was damaged.
            self._on_bad(version_of(meta))
            they = "it" if count == 1 else "they"
            raise CorruptObject(
                f"{counted(count, 'cached part')} damaged; {they} will be fetched again"
            )

    # --- names ---

    async def refresh(self, inode: int) -> None:
        """Have who next uses a file, or anything below a directory, ask the bucket."""
        self._tree.refresh(inode)


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
