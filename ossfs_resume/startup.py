"""What comes before anything is mounted: the cache of one bucket is opened, and the bucket asked
once.

The cache's disk may be slow, full or hanging. A mount that cannot open its cache fails and says so;
one that is open loses at most the progress of the last seconds, and closing it is never cut short
by a cancellation: what is left is written first.

The first question tells a wrong setting. Whoever waits for it sits at a terminal and reads one
line: what is wrong, and what to do about it. A bucket that the cache knows needs no answer, only a
warning; no answer is never taken for a wrong setting there.
"""

import logging
import os
import pwd
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

import trio

from ossfs_resume.cache.eviction import DEFAULT_FREE, DEFAULT_FREE_FILES, Limits, Reserve
from ossfs_resume.cache.models import CacheSettings
from ossfs_resume.cache.notes import Notes
from ossfs_resume.cache.remembered import DirectoryTime
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.cache.unused import remove_if_never_mounted
from ossfs_resume.config import Options, Source
from ossfs_resume.errors import (
    CacheError,
    MountError,
    NotPermitted,
    OriginError,
    OriginTimeout,
    TlsFailed,
    TransientError,
    Unreachable,
)
from ossfs_resume.fetch.thread_calls import Asking, Hanging
from ossfs_resume.oss.client import OssClient
from ossfs_resume.oss.credentials.chain import Provider
from ossfs_resume.oss.endpoint import Endpoint, cache_identity
from ossfs_resume.oss.outage import log as outage_log
from ossfs_resume.oss.paging import pages
from ossfs_resume.oss.retry import log as attempts_log
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


FIRST_ANSWER_SECONDS = 5.0
"""How long `mount` waits for the bucket before it calls the endpoint unreachable."""


class IsAnObject(MountError):
    """What was to be mounted is one object."""


async def await_key(credentials: Provider, source: Source) -> None:
    """Give the source of the access key the time that it may take, which is longer than a bucket's.

    What fails sooner is tried again, and told in the end, with the first question.
    Raises MountError.
    """
    began = trio.current_time()
    try:
        await credentials.current()
    except OriginError as error:
        if trio.current_time() - began >= FIRST_ANSWER_SECONDS:
            raise MountError(f"{source}: {error}") from error


async def check_bucket(
    client: OssClient, source: Source, endpoint: Endpoint, options: Options, *, is_known: bool
) -> None:
    """Ask for one key, to tell a wrong setting before it becomes an I/O error in a mount, or an
    empty directory to those who make another one like it.

    A bucket that the cache knows is mounted without an answer, with a warning. So is one that may
    not be listed: a key that may only read objects opens every path that it knows.
    Raises MountError.
    """
    try:
        with still_trying_unsaid():
            await check_source(client, source, may_be_empty=options.allow_empty)
    except NotPermitted as error:
        if options.is_anonymous:
            raise MountError(f"{source}: {not_public(error)}") from error
        log.warning(
            "%s: listing is not allowed (%s): ls says 'Permission denied', known paths open",
            source, error,
        )  # fmt: skip
    except TransientError as error:
        if not is_known:
            raise MountError(f"{source}: {with_remedy(error, endpoint)}") from error
        log.warning(
            "%s: %s; mounted offline with what the cache has; new files appear once the origin"
            " answers",
            source, error,
        )  # fmt: skip
    except OriginError as error:
        raise MountError(f"{source}: {error}") from error


async def check_source(client: OssClient, source: Source, *, may_be_empty: bool) -> None:
    """See whether there is anything to be shown.

    An object is no directory, and a name without a key below it is one that was mistyped, unless
    somebody says that it is meant. Raises MountError (IsAnObject);
    OriginError if that cannot be seen.
    """
    async with aclosing(
        pages(lambda token: client.list_page(source.prefix, token=token, max_keys=1))
    ) as listing:
        async for page in listing:
            if page.objects or page.prefixes:
                return
    if not source.prefix:
        log.info("%s: the bucket is empty", source)
    elif await _is_object(client, source):
        raise IsAnObject(
            f"{source} is an object, not a directory; mount {source.parent} and read it there"
        )
    elif may_be_empty:
        log.info("%s: there is no key below it", source)
    else:
        raise MountError(
            f"there is no key below {source}; correct the name, or give --allow-empty if it is"
            " meant"
        )


async def _is_object(client: OssClient, source: Source) -> bool:
    try:
        await client.head(source.key)
    except OriginError:  # nothing that anybody could be told
        return False
    return True


def not_public(error: NotPermitted) -> str:
    """What to say of a refusal to one who gave no key."""
    return f"it is not public: {error}; give an access key instead of --signature anonymous"


@contextmanager
def still_trying_unsaid() -> Iterator[None]:
    """Leave out the warning that something is tried again: how it ends is told in a moment, and
    who waits at a terminal is to read one line."""

    def is_said(record: logging.LogRecord) -> bool:
        return record.levelno != logging.WARNING

    for log_of_attempts in (attempts_log, outage_log):
        log_of_attempts.addFilter(is_said)
    try:
        yield
    finally:
        for log_of_attempts in (attempts_log, outage_log):
            log_of_attempts.removeFilter(is_said)


def with_remedy(error: TransientError, endpoint: Endpoint) -> str:
    """What to say of an endpoint that gives no answer, unless the error knows better."""
    if isinstance(error, (Unreachable, OriginTimeout)) and not isinstance(error, TlsFailed):
        return f"{error}; check --endpoint and the network{endpoint.hint}"
    return str(error)
