"""Questions to the cache, and small changes of it, for somebody who waits: a thread and a deadline.

A disk that hangs keeps its thread in an uninterruptible sleep. Who asked gets `Hanging`; the thread
goes on, whatever becomes of it, and nobody learns its answer.
"""

from collections.abc import Callable
from typing import TypeVar

import trio

from ossfs_resume.errors import CacheError
from ossfs_resume.fetch.calls import Hanging

T = TypeVar("T")

PATIENCE_SECONDS = 5.0


class Asking:
    """So many questions at once, each with so much patience."""

    def __init__(self, at_once: int = 8, patience_s: float = PATIENCE_SECONDS) -> None:
        self._threads = trio.CapacityLimiter(at_once)
        self._patience_s = patience_s

    def __repr__(self) -> str:
        return f"<Asking {self._threads.borrowed_tokens} of {self._threads.total_tokens}>"

    async def ask(self, question: Callable[[], T]) -> T:
        """What ``question`` returns or raises. Raises Hanging; CacheError where the system gives no
        more threads."""
        with trio.move_on_after(self._patience_s):
            try:
                return await trio.to_thread.run_sync(
                    question, limiter=self._threads, abandon_on_cancel=True
                )
            except RuntimeError as error:
                if "start new thread" not in str(error):
                    raise
                raise CacheError(f"cannot ask the cache: {error}") from error
        raise Hanging(f"the cache did not answer for {self._patience_s:g} seconds")
