"""Looking after what is cached: evict it, read it again and compare, ask for its names again."""

import math
from collections.abc import Callable
from functools import partial
from typing import Protocol

import trio

from ossfs_resume.cache.eviction import Rank
from ossfs_resume.cache.keeper import Keeper
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.control.errands import Errands
from ossfs_resume.errors import CorruptObject, InUse, OssfsError
from ossfs_resume.fetch.download import Download
from ossfs_resume.fetch.open_downloads import version_of
from ossfs_resume.fetch.recent_errors import LastErrors
from ossfs_resume.fetch.thread_calls import Asking
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.supervision import explained
from ossfs_resume.wording import counted, quoted

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
