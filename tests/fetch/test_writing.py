"""What has arrived is written once, and not lost on the way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.fetch.disk import Disk
from ossfs_resume.fetch.download import Download, Transfer
from ossfs_resume.fetch.loose import LooseParts
from ossfs_resume.fetch.scheduler import Priority
from ossfs_resume.fetch.writing import PartWriter
from ossfs_resume.oss.models import ObjectMeta
from support.fetching import PART

SIZE = 4 * PART


class CancelledWhenHeld:
    """A lock whose holder is cancelled at the moment he gets it."""

    def __init__(self, scope: trio.CancelScope) -> None:
        self._scope = scope

    async def __aenter__(self) -> None:
        self._scope.cancel()

    async def __aexit__(self, *_: object) -> None:
        pass


async def nothing(download: Download) -> None:
    """No proof."""


@asynccontextmanager
async def arrived(store: CacheStore, parts: int) -> AsyncIterator[tuple[PartWriter, Transfer]]:
    """A writer, and a transfer of the whole object of which so many parts have arrived."""
    entry = store.acquire(ObjectVersion("a", "etag", SIZE))
    transfer = Transfer(Download(ObjectMeta("a", SIZE, "etag", 0), entry), 0, 4, Priority.DEMAND)
    transfer.batch.add(b"x" * parts * PART)
    disk = Disk(on_idle=lambda download: None)
    async with trio.open_nursery() as nursery:
        await nursery.start(disk.run)
        yield PartWriter(disk, LooseParts(), nothing), transfer
        nursery.cancel_scope.cancel()
    store.release(entry)


async def test_what_a_cancelled_write_did_not_begin_is_still_there_to_be_written(
    store: CacheStore,
) -> None:
    async with arrived(store, 2) as (writer, transfer):
        lock = transfer.writing
        with trio.CancelScope() as scope:
            transfer.writing = CancelledWhenHeld(scope)
            await writer.write(transfer)
        assert scope.cancelled_caught
        assert len(transfer.batch) == 2
        transfer.writing = lock
        await writer.write(transfer)
        assert transfer.download.entry.progress.present_count == 2
        assert transfer.download.running == 0
