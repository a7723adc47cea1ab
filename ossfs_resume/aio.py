"""Downloads for programs on trio."""

import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import trio

from ossfs_resume.bucket import Bucket
from ossfs_resume.config import default_cache_dir
from ossfs_resume.download.downloader import DOWNLOADS, SMALL_BYTES, Wishes
from ossfs_resume.download.groups import one_error
from ossfs_resume.download.report import Report, Result
from ossfs_resume.download.session import downloading
from ossfs_resume.errors import OriginError, SettingsError
from ossfs_resume.fetch.settings import FetchSettings

Progress = Callable[[int, int], object]
"""Called with the bytes that are here, those of earlier runs included, and all bytes."""

PART_BYTES = 4 << 20
THREADS = 32
PROGRESS_SECONDS = 0.1

_LARGEST_PART = 1 << 30
_MOST_THREADS = 1000
_LARGEST_SMALL = 64 << 20

logging.getLogger("ossfs_resume").addHandler(logging.NullHandler())


async def download(
    bucket: Bucket | Any,
    key: str,
    filename: str | os.PathLike[str],
    *,
    store: str | os.PathLike[str] | Any | None = None,
    part_size: int = PART_BYTES,
    num_threads: int = THREADS,
    multiget_threshold: int = SMALL_BYTES,
    progress_callback: Progress | None = None,
    wait: bool = True,
) -> Result:
    """Download an object to the file ``filename``, going on where an earlier call stopped.

    ``filename`` appears, or is replaced, when all of the object is on the disk and has the bucket's
    CRC-64. It may be cancelled at any moment; what has arrived is used by the next call.

    ``bucket``: a `Bucket`, or an ``oss2.Bucket``. ``store``: the directory for what has arrived, by
    default ``filename`` + ``.ossfs-part``; an ``oss2.ResumableDownloadStore`` stands for its own.
    ``part_size``: bytes of one ranged request, from 64 KiB. ``num_threads``: requests at a time.
    ``multiget_threshold``: an object of so many bytes is had in one go, and not kept before it is
    complete. ``progress_callback(consumed, total)`` is called in this task, at most ten times a
    second, never with less than before, and once at the end; what it raises ends the download.
    ``wait`` for another call, of any process, that downloads to the same file.

    Raises SettingsError for arguments that make no sense; NotFound, AccessDenied and other kinds of
    OriginError; NoProgress; TargetError (TargetInUse) for ``filename``; CacheError (DiskFull) for
    the disk; CorruptObject if the bytes have not the bucket's CRC-64.
    """
    _check("part_size", part_size, 64 << 10, _LARGEST_PART)
    _check("num_threads", num_threads, 1, _MOST_THREADS)
    _check("multiget_threshold", multiget_threshold, 0, 1 << 60)
    wishes = Wishes(
        waits=wait,
        small_bytes=min(multiget_threshold, _LARGEST_SMALL),
        state=_state(store),
        elsewhere=_elsewhere(),
    )
    place, path, report = Bucket.of(bucket), _absolute(filename), Report()
    fetch = FetchSettings(place.timeout, num_threads, part_size, predicts=False)
    with _naming(f"oss://{place.name}/{key}"), one_error():
        async with (
            place.open(num_threads) as client,
            downloading(client, fetch, wishes, report) as downloader,
        ):
            meta = await downloader.head(key)
            report.total = meta.size
            async with _telling(report, progress_callback):
                return await downloader.download(meta, path)


@asynccontextmanager
async def _telling(report: Report, tell: Progress | None) -> AsyncIterator[None]:
    """Tell of progress while the block runs, and once when it has succeeded."""
    if tell is None:
        yield
        return
    last = -1
    async with trio.open_nursery() as nursery:

        async def keep_telling() -> None:
            nonlocal last
            while True:
                # A checksum that was wrong takes away what had been told.
                if (consumed := min(report.consumed, report.total)) > last:
                    last = consumed
                    tell(consumed, report.total)
                await trio.sleep(PROGRESS_SECONDS)

        nursery.start_soon(keep_telling)
        yield
        nursery.cancel_scope.cancel()
    tell(report.total, report.total)


def _elsewhere() -> Path | None:
    """None for a user without a home, who needs it only for a file on NFS or the like."""
    with suppress(SettingsError):
        return default_cache_dir(os.environ) / DOWNLOADS
    return None


def _absolute(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.abspath(path))


@contextmanager
def _naming(address: str) -> Iterator[None]:
    """An origin's errors say what it said, and not of what."""
    try:
        yield
    except OriginError as error:
        error.args = (f"{address}: {error}",)
        raise


def _check(name: str, value: int, least: int, most: int) -> None:
    if not isinstance(value, int) or not least <= value <= most:
        raise SettingsError(f"{name}: {value!r} is not a whole number from {least} to {most}")


def _state(store: str | os.PathLike[str] | Any | None) -> Path | None:
    """The directory that ``store`` names, or that an oss2.ResumableDownloadStore has."""
    if store is None:
        return None
    try:
        return _absolute(getattr(store, "dir", store))
    except TypeError:
        raise SettingsError(f"store: {store!r} names no directory") from None
