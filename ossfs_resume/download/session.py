"""The parts of a download put together: an engine that runs as long as somebody downloads.

Cancelled, those who download come first: what has arrived is written, entries are given back and
stores are closed. Only then the engine ends.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ossfs_resume.download.downloader import Downloader, Wishes
from ossfs_resume.download.keeping import Keeping
from ossfs_resume.download.mount_cache import MountCache
from ossfs_resume.download.report import Report
from ossfs_resume.download.shelf import Shelf
from ossfs_resume.download.small_files import SmallFiles
from ossfs_resume.fetch.engine import Engine
from ossfs_resume.fetch.settings import FetchSettings
from ossfs_resume.oss.client import OssClient


@asynccontextmanager
async def downloading(
    client: OssClient,
    settings: FetchSettings,
    wishes: Wishes,
    report: Report,
    cache: MountCache | None = None,
) -> AsyncIterator[Downloader]:
    """A downloader, for as long as the block runs."""
    cache = cache or MountCache()
    if trouble := await trio.to_thread.run_sync(cache.open):
        report.say(f"{trouble}; nothing of the cache is used")
    try:
        async with _running(client, settings, wishes, report, cache) as downloader:
            yield downloader
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(cache.close)


@asynccontextmanager
async def _running(
    client: OssClient,
    settings: FetchSettings,
    wishes: Wishes,
    report: Report,
    cache: MountCache,
) -> AsyncIterator[Downloader]:
    shelf, small_files = Shelf(), SmallFiles()
    engine = Engine(client, shelf, settings, width=client.concurrency, in_thread=True)
    keeping = Keeping(engine, shelf, report, wishes.part_size, cache)
    scope = trio.CancelScope(shield=True)

    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(small_files.run)
                await engine.run(task_status=task_status)

    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        try:
            yield Downloader(engine, keeping, small_files, client.head, wishes, report)
        finally:
            scope.cancel()
