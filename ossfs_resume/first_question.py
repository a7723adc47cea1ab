"""The first question to a bucket, which tells a wrong setting before anything is mounted.

Whoever waits for it sits at a terminal and reads one line: what is wrong, and what to do about it.
A bucket that the cache knows needs no answer, only a warning; no answer is never taken for a wrong
setting there.
"""

import logging
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

import trio

from ossfs_resume.config import Options, Source
from ossfs_resume.errors import (
    MountError,
    NotPermitted,
    OriginError,
    OriginTimeout,
    TlsFailed,
    TransientError,
    Unreachable,
)
from ossfs_resume.oss.client import OssClient
from ossfs_resume.oss.credentials.chain import Provider
from ossfs_resume.oss.endpoint import Endpoint
from ossfs_resume.oss.outage import log as outage_log
from ossfs_resume.oss.paging import pages
from ossfs_resume.oss.retry import log as attempts_log

log = logging.getLogger(__name__)

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
