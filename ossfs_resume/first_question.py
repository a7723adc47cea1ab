"""The first question to a bucket, which tells a wrong setting before anything is mounted.

Whoever waits for it sits at a terminal and reads one line: what is wrong, and what to do about it.
A bucket that the cache knows needs no answer, only a warning; no answer is never taken for a wrong
setting there.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from ossfs_resume.config import Source
from ossfs_resume.errors import (
    MountError,
    NotPermitted,
    OriginError,
    OriginTimeout,
    TlsFailed,
    TransientError,
    Unreachable,
)
from ossfs_resume.oss.attempts import log as attempts_log
from ossfs_resume.oss.client import OssClient
from ossfs_resume.oss.credentials.chain import Provider
from ossfs_resume.oss.endpoint import Endpoint
from ossfs_resume.oss.outage import log as outage_log

log = logging.getLogger(__name__)

FIRST_ANSWER_SECONDS = 5.0
"""How long `mount` waits for the bucket before it calls the endpoint unreachable."""


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
    client: OssClient, source: Source, endpoint: Endpoint, *, is_known: bool
) -> None:
    """Ask for one key, to tell a wrong setting before it becomes an I/O error in a mount.

    A bucket that the cache knows is mounted without an answer, with a warning. So is one that may
    not be listed: a key that may only read objects opens every path that it knows.
    Raises MountError.
    """
    try:
        with still_trying_unsaid():
            await client.list_page(source.prefix, max_keys=1)
    except NotPermitted as error:
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
