"""Blocking calls in threads, some at once, each with somebody's patience.

A disk may hang, its thread in an uninterruptible sleep. Then who waits gets `Hanging` when his
patience is over; the thread stays, and what waits for a thread is dropped: it must not pile up,
bytes and all. A disk may also be slow and have much to do. That is not hanging: a call that waits
for a thread has patience for as long as others of its kind come to their end.

An error that nobody thought of (no thread, no memory, a bug) is a CacheError like any other.

`Lane` and `Call` are for reads and writes of many readers; `Asking` for questions, and small
changes of the cache, of somebody who waits: nobody learns an answer that came too late.
"""

import logging
import math
from collections.abc import Callable
from typing import Generic, TypeVar

import trio

from ossfs_resume.errors import CacheError
from ossfs_resume.shortages import log_failure

log = logging.getLogger(__name__)

T = TypeVar("T")

# How many threads there are is the lanes' decision.
_ANY_NUMBER = math.inf


class Hanging(CacheError):
    """The disk did not answer in time; nothing is known of what becomes of the call."""


class Lane:
    """Calls of one kind: so many at once, that a hanging kind does not hold up the others."""

    def __init__(self, at_once: int, patience_s: float) -> None:
        self.places = trio.CapacityLimiter(at_once)
        self.patience_s = patience_s
        self.newest_end = -math.inf
        self._threads = trio.CapacityLimiter(_ANY_NUMBER)

    def __repr__(self) -> str:
        return f"<Lane {self.places.borrowed_tokens} of {self.places.total_tokens}>"

    async def run(self, call: "Call[T]") -> T:
        """What the call returns or raises, when it has its turn."""
        await self.places.acquire_on_behalf_of(call)
        try:
            call.began = trio.current_time()
            return await trio.to_thread.run_sync(call.action, limiter=self._threads)
        finally:
            self.newest_end = trio.current_time()
            self.places.release_on_behalf_of(call)


class Call(Generic[T]):
    """One call and its outcome. ``too_late`` is told of a result that nobody waits for any more,
    ``done`` is called at the end, whatever it is."""

    def __init__(
        self, action: Callable[[], T], too_late: Callable[[T], object], done: Callable[[], object]
    ) -> None:
        self.action = action
        self.began: float | None = None
        """When it got its thread."""
        self._too_late = too_late
        self._done = done
        self._ended = trio.Event()
        self._values: list[T] = []
        self._error: CacheError | None = None
        self._scope = trio.CancelScope()
        self._is_abandoned = False

    async def run(self, lane: Lane) -> None:
        """To its end, in a task that nobody cancels for want of patience."""
        try:
            with self._scope:
                self._values.append(await lane.run(self))
        except CacheError as error:
            self._error = error
        except Exception as error:
            log_failure(log, "the cache", error)
            self._error = CacheError(f"{type(error).__name__}: {error}")
        finally:
            self._ended.set()
            if self._is_abandoned and self._values:
                self._too_late(self._values[0])
            self._done()

    async def result(self, lane: Lane) -> T:
        """What it returns. Raises CacheError."""
        try:
            await self._wait(lane)
        finally:
            self._is_abandoned = not self._ended.is_set()
        if self._values:
            return self._values[0]
        self._scope.cancel()
        raise self._error or Hanging(f"the cache did not answer for {lane.patience_s:g} seconds")

    async def _wait(self, lane: Lane) -> None:
        """Until it has ended, or patience."""
        since = trio.current_time()
        while not self._ended.is_set():
            newest = max(since, lane.newest_end) if self.began is None else self.began
            if newest + lane.patience_s <= trio.current_time():
                return
            with trio.move_on_at(newest + lane.patience_s):
                await self._ended.wait()


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
