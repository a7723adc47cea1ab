"""What the engine takes for its cache: a store for each target, and none for small objects."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from ossfs_resume.cache.entry import Entry
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.passing import Passing
from ossfs_resume.cache.store import CacheStore

_PASSING_PART = 1 << 20


class _Nobody:
    """No other process has a store of ours open: nothing is claimed."""

    def has_others(self) -> bool:
        return False

    def take(self, version: ObjectVersion, parts: range) -> bool:
        return True

    def release(self, version: ObjectVersion, parts: range) -> None:
        pass


class Shelf:
    """The stores by object version. A version that has none passes through memory."""

    def __init__(self) -> None:
        self.claims = _Nobody()
        self._passing = Passing(_PASSING_PART)
        self._stores: dict[ObjectVersion, CacheStore] = {}
        self._reserved: set[ObjectVersion] = set()
        self._held: dict[Entry, CacheStore] = {}
        self._changed = trio.Event()

    @asynccontextmanager
    async def reserved(self, version: ObjectVersion) -> AsyncIterator[None]:
        """Nobody else of this process keeps this version meanwhile."""
        while version in self._reserved:
            await self._changed.wait()
        self._reserved.add(version)
        try:
            yield
        finally:
            self._reserved.discard(version)
            self._wake()

    @asynccontextmanager
    async def holding(self, version: ObjectVersion, store: CacheStore) -> AsyncIterator[None]:
        """Keep a version in this store; nothing is under way for it at the end."""
        self._stores[version] = store
        try:
            yield
        finally:
            del self._stores[version]
            with trio.CancelScope(shield=True):
                while store in self._held.values():
                    await self._changed.wait()

    # --- for the engine ---

    def acquire_many(self, versions: Sequence[ObjectVersion]) -> list[Entry]:
        """Their entries; called in a thread, by one at a time for each version."""
        entries: list[Entry] = []
        try:
            entries.extend(map(self._acquire, versions))
        except BaseException:
            for entry in entries:
                if (store := self._held.pop(entry, None)) is not None:
                    store.release(entry)
            raise
        return entries

    def _acquire(self, version: ObjectVersion) -> Entry:
        store = self._stores.get(version)
        if store is None:
            return self._passing.entry(version)
        entry = store.acquire(version)
        self._held[entry] = store
        return entry

    def detached(self, version: ObjectVersion) -> Entry:
        """An entry that keeps nothing."""
        return self._passing.entry(version)

    def release(self, entry: Entry) -> None:
        """Called in the event loop."""
        store = self._held.pop(entry, None)
        if store is not None:
            store.release(entry)
            self._wake()

    def discard(self, entry: Entry) -> None:
        """Forget all of it, which was wrong. Raises CacheError."""
        store = self._held.get(entry)
        if store is not None:
            store.discard(entry)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
