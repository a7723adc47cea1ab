"""A second attempt beside a first one that is unusually slow; whichever answers first is used.

Of many servers one is always the slow one, and a reader waits for the slowest of its ranges (Dean
and Barroso, The Tail at Scale, CACM 2013). `FirstBytes` is the pure part: how long is unusual, and
a budget, so that a slow origin never gets twice the requests. `race` performs it.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import trio

T = TypeVar("T")
Attempt = Callable[[Callable[[], bool]], Awaitable[T]]
"""Sends a request, calls its argument when the answer begins, and goes on only if that is True."""

LEAST_SAMPLES = 20
UNUSUAL = 4.0
LEAST_S = 1.0
SHARE = 0.03
"""Second attempts for each request."""

MOST_SAVED = 2.0


@dataclass(slots=True)
class FirstBytes:
    """The recent times from request to answer, in seconds, and the budget for second attempts."""

    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=200))
    _budget: float = 0.0

    def add(self, seconds: float) -> None:
        """A request was answered after so long."""
        self._recent.append(seconds)
        self._budget = min(self._budget + SHARE, MOST_SAVED)

    def patience_s(self) -> float | None:
        """When to send a second attempt; None while nothing is known or the budget is spent."""
        if len(self._recent) < LEAST_SAMPLES or self._budget < 1:
            return None
        slow = sorted(self._recent)[len(self._recent) * 95 // 100]
        return max(UNUSUAL * slow, LEAST_S)

    def spend(self) -> bool:
        """Take a second attempt from the budget; False if it is spent."""
        if self._budget < 1:
            return False
        self._budget -= 1
        return True


async def race(attempt: Attempt[T], patience_s: float, may_hedge: Callable[[], bool]) -> T:
    """The result of the attempt that answers first; a second one starts after ``patience_s``.

    An attempt that fails leaves the other one running; when both failed, the first error counts.
    """
    contest: _Race[T] = _Race(attempt)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(contest.run, 0)
        with trio.move_on_after(patience_s):
            await contest.decided.wait()
        if not contest.decided.is_set() and may_hedge():
            nursery.start_soon(contest.run, 1)
    return contest.result()


class _Race(Generic[T]):
    def __init__(self, attempt: Attempt[T]) -> None:
        self.decided = trio.Event()
        self._attempt = attempt
        self._scopes = (trio.CancelScope(), trio.CancelScope())
        self._winner: int | None = None
        self._values: list[T] = []
        self._errors: list[Exception] = []

    async def run(self, number: int) -> None:
        with self._scopes[number]:
            try:
                self._values.append(await self._attempt(lambda: self._answered(number)))
            except Exception as error:
                # What the winner raises is the outcome, whatever the other one said before.
                self._errors.insert(0 if self._winner == number else len(self._errors), error)
            finally:
                self.decided.set()

    def result(self) -> T:
        if self._values:
            return self._values[0]
        raise self._errors[0]

    def _answered(self, number: int) -> bool:
        if self._winner is None:
            self._winner = number
            self._scopes[1 - number].cancel()
            self.decided.set()
        return self._winner == number
