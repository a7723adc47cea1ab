"""A second attempt beside one that has fallen silent; whichever is heard first goes on alone.

Of many servers one is always the slow one, and a reader waits for the slowest of its ranges (Dean
and Barroso, The Tail at Scale, CACM 2013). A connection may also stall in the middle of a body, so
the wait for a next byte counts like the wait for a first one. `Hedges` is the pure part: how long a
silence is unusual, and a budget, so that a slow origin never gets twice the requests. `Contests`
performs it.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import trio

from ossfs_resume.errors import Throttled

T = TypeVar("T")

LEAST_SAMPLES = 20
UNUSUAL = 4.0
LEAST_S = 1.0
SHARE = 0.03
"""Second attempts in vain for each request."""

MOST_SAVED = 2.0


@dataclass(slots=True)
class Hedges:
    """The longest silences of recent requests, in seconds; the budget for second attempts.

    At most ``limit`` run at once. The budget pays for those that were sent in vain: where all
    answers come late, second attempts come later still. One that is heard first costs nothing: the
    other connection was at fault. Neither does one that failed, which says nothing.
    """

    limit: int
    started: int = 0
    _running: int = 0
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=200))
    _budget: float = 1.0

    def add(self, seconds: float) -> None:
        """A request was served to its end, and this was its longest silence."""
        self._recent.append(seconds)
        self._budget = min(self._budget + SHARE, MOST_SAVED)

    def patience_s(self) -> float | None:
        """The silence after which to send a second attempt; None while none may be sent."""
        if len(self._recent) < LEAST_SAMPLES or not self._has_room:
            return None
        slow = sorted(self._recent)[len(self._recent) * 95 // 100]
        return max(UNUSUAL * slow, LEAST_S)

    def begin(self) -> None:
        """A second attempt is sent."""
        self.started += 1
        self._running += 1
        self._budget -= 1

    def end(self, *, in_vain: bool) -> None:
        """A second attempt is over, or goes on alone because it was heard first."""
        self._running -= 1
        if not in_vain:
            self._budget = min(self._budget + 1, MOST_SAVED)

    @property
    def _has_room(self) -> bool:
        return self._budget >= 1 and self._running < self.limit


class Turn:
    """What one attempt tells about itself: when it waits for the origin, and when it was heard."""

    def __init__(self, contest: "_Race[T]") -> None:
        self.scope = trio.CancelScope()
        self.silent_since: float | None = None
        self.longest_s = 0.0
        self.is_out = False
        """Another attempt was heard first: this one is to do nothing more."""
        self._contest = contest

    def listen(self) -> None:
        """This attempt waits for the origin, from now on if it did not before."""
        if self.silent_since is None:
            self.silent_since = trio.current_time()

    def hear(self) -> bool:
        """Something right has come. Go on only if True: else the other attempt was faster."""
        if not self._contest.is_left_to(self):
            return False
        self.pause()
        return True

    def end(self) -> None:
        """Do nothing more."""
        self.is_out = True
        self.scope.cancel()

    def pause(self) -> None:
        """The silence is over."""
        if self.silent_since is not None:
            self.longest_s = max(self.longest_s, trio.current_time() - self.silent_since)
        self.silent_since = None


Attempt = Callable[[Turn], Awaitable[T]]
"""Sends a request; listens and hears before it does anything that must not be done twice."""


class Contests:
    """The races of one lane, in the event loop that uses it first.

    The first attempt of each runs in its caller's task. One task watches all of them and starts the
    second attempts, so a race that needs none costs next to nothing. Both are system tasks of trio:
    they belong to no caller, and end with the loop.
    """

    def __init__(self, hedges: Hedges) -> None:
        self.hedges = hedges
        self._races: set[_Race[Any]] = set()
        self._is_watched = False

    def __repr__(self) -> str:
        return f"<Contests {len(self._races)}>"

    async def race(self, attempt: Attempt[T]) -> T:
        """The result of the attempt that is heard; a second one starts when the first falls silent.

        An attempt that fails leaves the other one running; when both failed, the first error
        counts. Cancelled, it ends both: one that is still on its way out does nothing more.
        """
        race = _Race(attempt, self.hedges)
        first = race.enter()
        self._races.add(race)
        if not self._is_watched:
            self._is_watched = True
            trio.lowlevel.spawn_system_task(self._watch)
        try:
            await race.run(first)
            if race.is_running:
                await race.over.wait()
            await trio.lowlevel.checkpoint_if_cancelled()  # an error would be told in vain
            return race.result()
        finally:
            self._races.discard(race)
            race.end()

    async def _watch(self) -> None:
        while self._races:
            now = trio.current_time()
            for race in self._races:
                if race.is_unusual(now):
                    self.hedges.begin()
                    trio.lowlevel.spawn_system_task(race.run, race.enter())
            # No race that begins meanwhile can be due before.
            due = min(race.next_look(now) for race in self._races)
            await trio.sleep_until(min(due, now + LEAST_S))
        self._is_watched = False


class _Race(Generic[T]):
    def __init__(self, attempt: Attempt[T], hedges: Hedges) -> None:
        self.over = trio.Event()
        """No attempt runs any more."""
        self._attempt = attempt
        self._hedges = hedges
        self._running: list[Turn] = []
        self._second: Turn | None = None
        self._failures = 0
        self._patient_until = 0.0
        self._values: list[T] = []
        self._errors: list[Exception] = []

    @property
    def is_running(self) -> bool:
        """Whether an attempt runs that may be heard."""
        return bool(self._running)

    def enter(self) -> Turn:
        """One more attempt; the second one if there is one already."""
        turn = Turn(self)
        self._second = turn if self._running else None
        self._running.append(turn)
        return turn

    def next_look(self, now: float) -> float:
        """When to look again whether the silence is unusual."""
        patience_s = self._hedges.patience_s() or LEAST_S
        due = max(self._silent_since(now) + patience_s, self._patient_until)
        return due if due > now else now + patience_s

    def is_unusual(self, now: float) -> bool:
        """Whether it is time for a second attempt."""
        patience_s = self._hedges.patience_s()
        if patience_s is None or len(self._running) != 1:
            return False
        return now >= max(self._silent_since(now) + patience_s, self._patient_until)

    def is_left_to(self, turn: Turn) -> bool:
        """Leaves the race to ``turn`` and ends the other one; False if that was done to it."""
        running = self._running
        if len(running) == 1 and running[0] is turn and self._second is None and not self._errors:
            return True
        if turn not in running:
            return False
        for other in running:
            if other is not turn:
                other.end()
        self._running = [turn]
        self._errors.clear()
        self._settle(in_vain=turn is not self._second)
        return True

    async def run(self, turn: Turn) -> None:
        """One attempt from its beginning to its end."""
        try:
            with turn.scope:
                value = await self._attempt(turn)
                if self.is_left_to(turn):
                    self._values.append(value)
                    turn.pause()
                    self._hedges.add(turn.longest_s)
        except Exception as error:
            self._failed(turn, error)
        finally:
            if turn in self._running:
                self._leave(turn)

    def result(self) -> T:
        """What the race led to."""
        if self._values:
            return self._values[0]
        raise self._errors[0]

    def end(self) -> None:
        """Nobody waits for it any more.

        The traceback of an error holds frames that hold this race: they would keep each other, and
        the answer that was refused, in memory.
        """
        running, self._running = self._running, []
        for turn in running:
            turn.end()
        self._settle(in_vain=True)
        self._errors.clear()

    def _silent_since(self, now: float) -> float:
        since = self._running[0].silent_since if self._running else None
        return now if since is None else since

    def _failed(self, turn: Turn, error: Exception) -> None:
        if turn not in self._running:
            return
        self._errors.append(error)
        # Another attempt at once would be told the same.
        patience_s = self._hedges.patience_s() or LEAST_S
        self._patient_until = trio.current_time() + patience_s * 2**self._failures
        self._failures += 1
        if turn is self._second:
            self._settle(in_vain=isinstance(error, Throttled))

    def _leave(self, turn: Turn) -> None:
        self._running = [other for other in self._running if other is not turn]
        self._settle(in_vain=True)
        if not self._running:
            self.over.set()

    def _settle(self, *, in_vain: bool) -> None:
        if self._second is not None:
            self._hedges.end(in_vain=in_vain)
            self._second = None
