"""What was accepted is tried until it succeeds, or is refused for good."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from ossfs_resume.errors import CacheError, NoProgress, OssfsError, ShuttingDown, TransientError

Result = TypeVar("Result")

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
RETRY_SECONDS_MOST = 60.0


async def insist(
    name: str,
    attempt: Callable[[], Awaitable[Result]],
    delayed: Callable[[OssfsError], None] = lambda error: None,
) -> Result:
    """What ``attempt`` returns once it succeeds; ``delayed`` is told of what another try may cure,
    after growing waits. Raises any other error."""
    seconds = RETRY_SECONDS
    while True:
        try:
            return await attempt()
        except ShuttingDown:
            await trio.sleep_forever()  # until cancelled: the next mount goes on with a job
        except (TransientError, NoProgress, CacheError) as error:
            delayed(error)
            log.debug("%s: %s; trying again in %g s", name, error, seconds)
            await trio.sleep(seconds)
            seconds = min(seconds * 2, RETRY_SECONDS_MOST)
