"""Downloads for any program: a function that blocks."""

import os
from functools import partial
from typing import Any

import trio

from ossfs_resume import aio
from ossfs_resume.aio import PART_BYTES, THREADS, Progress
from ossfs_resume.bucket import Bucket
from ossfs_resume.download.downloader import SMALL_BYTES
from ossfs_resume.download.report import Result


def resumable_download(
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
    """Download an object to a file, going on where an earlier call stopped.

    All is as `aio.download` says, but that this one blocks, in whatever thread it is called;
    ``progress_callback`` is called in that thread. Raises RuntimeError where trio runs: await
    `aio.download` there.
    """
    if trio.lowlevel.in_trio_run():
        raise RuntimeError("this thread runs trio, which must not block: await aio.download")
    return trio.run(
        partial(
            aio.download,
            bucket,
            key,
            filename,
            store=store,
            part_size=part_size,
            num_threads=num_threads,
            multiget_threshold=multiget_threshold,
            progress_callback=progress_callback,
            wait=wait,
        )
    )
