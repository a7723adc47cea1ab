"""Many downloads at a time: small objects many, large ones few, for each of these uses all
connections by itself.

One that fails does not keep the others from being downloaded, unless they would fail alike.
"""

from collections.abc import AsyncIterable
from dataclasses import dataclass
from pathlib import Path

import trio

from ossfs_resume.download.downloader import Downloader
from ossfs_resume.download.report import Outcome, Result
from ossfs_resume.download.target import Target
from ossfs_resume.errors import AccessDenied, DiskFull, NoSuchBucket, NotPermitted, OssfsError
from ossfs_resume.oss.models import ObjectMeta

LARGE_AT_ONCE = 4


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """An object and the file that it shall be; ``meta`` if a listing has it, and ``target`` how the
    file was a moment ago."""

    key: str
    path: Path
    meta: ObjectMeta | None = None
    target: Target | None = None


async def download_all(downloader: Downloader, wanted: AsyncIterable[Wanted], at_once: int) -> None:
    """Download what is ``wanted``, as it comes. How each ended is reported.

    Raises OssfsError for what all would fail of.
    """
    places = trio.CapacityLimiter(at_once)
    large = trio.CapacityLimiter(LARGE_AT_ONCE)

    async def one(item: Wanted) -> None:
        try:
            meta = item.meta
            if meta is None:
                meta = await downloader.head(item.key)
                downloader.report.total += meta.size
            if meta.size <= downloader.wishes.small_bytes:
                await downloader.download(meta, item.path, item.target)
            else:
                async with large:
                    await downloader.download(meta, item.path)
        except OssfsError as error:
            if concerns_all(error):
                raise
            downloader.report.ended(Result(item.key, item.path, Outcome.FAILED, error=error))
        finally:
            places.release_on_behalf_of(item)

    async with trio.open_nursery() as nursery:
        async for item in wanted:
            await places.acquire_on_behalf_of(item)
            nursery.start_soon(one, item)


def concerns_all(error: OssfsError) -> bool:
    """Whether it is of no use to go on with other objects."""
    is_of_key = isinstance(error, AccessDenied) and not isinstance(error, NotPermitted)
    return is_of_key or isinstance(error, DiskFull | NoSuchBucket)
