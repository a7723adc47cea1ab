"""The cache of one bucket: opened with what the options say, asked what a mount must know, closed.

Its disk may be slow, full or hanging. A mount that cannot open its cache fails and says so; one
that is open loses at most the progress of the last seconds, and closing it is never cut short by a
cancellation: what is left is written first.
"""

import logging
import os
import pwd
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import trio

from ossfs_resume.cache.eviction import DEFAULT_FREE, DEFAULT_FREE_FILES, Limits, Reserve
from ossfs_resume.cache.models import CacheSettings
from ossfs_resume.cache.notes import Notes
from ossfs_resume.cache.remembered import DirectoryTime
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.cache.unused import remove_if_never_mounted
from ossfs_resume.config import Options
from ossfs_resume.errors import CacheError, MountError
from ossfs_resume.fetch.thread_calls import Asking, Hanging
from ossfs_resume.oss.endpoint import Endpoint, cache_identity
from ossfs_resume.quantities import format_size
from ossfs_resume.wording import quoted

log = logging.getLogger(__name__)

ANOTHER_DIRECTORY = "choose another with --cache-dir"

OPEN_PATIENCE_SECONDS = 30.0
CLOSE_PATIENCE_SECONDS = 60.0
"""How long the cache's disk may take at the beginning, and to write what is left at the end."""


@asynccontextmanager
async def opened_store(endpoint: Endpoint, options: Options) -> AsyncIterator[CacheStore]:
    """The cache of this bucket; written out and closed at the end, whatever happens."""
    settings = CacheSettings(
        options.cache_dir,
        cache_identity(endpoint),
        options.part_size,
        limits=cache_limits(options.cache_size, options.cache_free),
    )
    try:
        store = await Asking(1, OPEN_PATIENCE_SECONDS).ask(partial(CacheStore.open, settings))
    except Hanging as error:
        raise MountError(f"{quoted(settings.directory)}: {error}; does its disk hang?") from error
    except CacheError as error:
        raise MountError(unusable(settings.directory, error)) from error
    try:
        yield store
    finally:
        with trio.CancelScope(shield=True):
            await _close(store, settings)


async def _close(store: CacheStore, settings: CacheSettings) -> None:
    def close() -> None:
        try:
            store.close()
        finally:
            if store.notes.is_new:
                remove_if_never_mounted(settings.directory, settings.identity)

    try:
        await Asking(1, CLOSE_PATIENCE_SECONDS).ask(close)
    except Hanging as error:
        log.warning("%s; the progress of the last seconds may be lost", error)


@asynccontextmanager
async def noted_as_known(notes: Notes) -> AsyncIterator[Callable[[], None]]:
    """The cache knows the bucket from now on; not any more if the block fails before it calls what
    it is given, and the bucket was new."""
    was_new, mounted = notes.is_new, trio.Event()
    asking = Asking(1, OPEN_PATIENCE_SECONDS)
    await asking.ask(notes.mark_known)
    try:
        yield mounted.set
    except MountError:
        if was_new and not mounted.is_set():
            with suppress(CacheError):  # why nothing was mounted says more
                await asking.ask(notes.unmark_known)
        raise


def unusable(directory: Path, error: CacheError) -> str:
    """Why a cache directory cannot be used, and what to do where another one would do."""
    match error.__cause__:
        case PermissionError():
            return f"{quoted(directory)} may not be written by {_user()}; {ANOTHER_DIRECTORY}"
        case OSError():
            return f"{error}; {ANOTHER_DIRECTORY}"
        case _:
            return str(error)


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"the user {os.geteuid()}"


def cache_limits(size: int | None, free: int | float | None) -> Limits:
    """``--cache-size`` and ``--cache-free``: bytes, a fraction of the disk, or the default.

    Nothing is nothing of the files as well, and bytes leave the default number of them.
    """
    if free is None:
        return Limits(size, DEFAULT_FREE, DEFAULT_FREE_FILES)
    if isinstance(free, float):
        return Limits(size, Reserve(free), Reserve(free))
    return Limits(size, free, DEFAULT_FREE_FILES if free else Reserve(0))


async def room_in(store: CacheStore, options: Options) -> int:
    """How many bytes the cache may take; says so if that is as good as nothing."""
    try:
        room = await Asking(1, OPEN_PATIENCE_SECONDS).ask(store.keeper.capacity)
    except CacheError as error:
        log.warning("cannot say how much the cache may hold: %s", error)
        return 0
    if room < options.part_size:
        log.warning(
            "nothing can be kept in %s: --cache-size and --cache-free leave %s there;"
            " raise --cache-size or lower --cache-free",
            quoted(options.cache_dir),
            format_size(room),
        )
    return room


async def directory_times(store: CacheStore) -> Mapping[str, DirectoryTime]:
    """When each directory was first seen or changed; nothing if the cache cannot say."""
    try:
        return await Asking(1, OPEN_PATIENCE_SECONDS).ask(store.notes.recall_directories)
    except CacheError as error:
        log.debug("cannot read when directories changed: %s", error)
        return {}
