"""Two event loops in two threads: calls and messages from one to the other.

Everything goes through the loop's own queue (`TrioToken.run_sync_soon`), which wakes it, keeps the
order, and may be used from any thread. What may not change:

- Whoever calls goes on exactly once: when the other side has ended, also after a cancellation,
  which is only passed on; or when that loop ends or is given up.
- What a loop says that was given up is not heard any more.
- The tasks of a loop are touched in its own thread alone.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar, TypeVarTuple

import outcome
import trio

from ossfs_resume.shortages import log_failure

log = logging.getLogger(__name__)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class LoopEnded(Exception):
    """The other loop has ended, or was given up: nothing is known of what becomes of the call."""


class Loop:
    """A loop that one other loop calls into. Methods are for that other one, but for `here`."""

    def __init__(self, token: trio.lowlevel.TrioToken) -> None:
        self._token = token
        self._messages: deque[Callable[[], object]] = deque()
        self._is_woken = False
        self._calls: set[_Call[Any]] = set()
        self._is_given_up = False

    @classmethod
    def here(cls) -> "Loop":
        """The one that runs the caller."""
        try:
            return _here.get()
        except LookupError:
            loop = cls(trio.lowlevel.current_trio_token())
            _here.set(loop)
            return loop

    def __repr__(self) -> str:
        return f"<Loop {len(self._calls)} calls>"

    @property
    def is_here(self) -> bool:
        """Whether it is the caller's own."""
        try:
            return trio.lowlevel.current_trio_token() is self._token
        except RuntimeError:  # a thread without a loop
            return False

    async def call(self, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """What ``function`` returns or raises there. Raises LoopEnded."""
        if self.is_here:
            return await function(*args)
        await trio.lowlevel.checkpoint_if_cancelled()
        call: _Call[T] = _Call(lambda: function(*args), self._calls)
        if self._is_given_up or not self.soon(call.begin):
            raise LoopEnded
        self._calls.add(call)

        def abort(_: object) -> trio.lowlevel.Abort:
            self.soon(call.scope.cancel)
            return trio.lowlevel.Abort.FAILED

        try:
            result: T = await trio.lowlevel.wait_task_rescheduled(abort)
        except _Cancelled:
            await trio.lowlevel.checkpoint_if_cancelled()
            raise LoopEnded from None
        return result

    def post(self, function: Callable[[*Ts], object], *args: *Ts) -> None:
        """Have ``function`` called there, in the order of the posts; not if the loop has ended.
        It must not raise."""
        if self.is_here:
            function(*args)
        else:
            self.soon(lambda: _unfailing(lambda: function(*args)))

    def give_up(self) -> None:
        """It hangs: all calls of it raise LoopEnded, and whatever becomes of them is not heard."""
        self._is_given_up = True
        for call in list(self._calls):
            call.finish(outcome.Error(LoopEnded()))

    def soon(self, function: Callable[[], object]) -> bool:
        """Have ``function`` called there, which must not raise; False if the loop has ended.

        What comes before it has woken up wakes it once: that costs more than most messages.
        """
        self._messages.append(function)
        if self._is_woken:
            return True  # it has yet to begin with what there is
        self._is_woken = True
        try:
            self._token.run_sync_soon(self._hear)
        except trio.RunFinishedError:
            self._is_woken = False  # or the next one would wait for it
            return False
        return True

    def _hear(self) -> None:
        self._is_woken = False
        while self._messages:
            self._messages.popleft()()


_here = trio.lowlevel.RunVar[Loop]("_here")


class _Cancelled(Exception):
    """The other side has ended because this side was cancelled."""


class _Call(Generic[T]):
    """One call: made, waited for and finished in the one loop, run in the other."""

    def __init__(self, function: Callable[[], Awaitable[T]], calls: "set[_Call[Any]]") -> None:
        self.scope = trio.CancelScope()
        self._function = function
        self._calls = calls
        self._home = Loop.here()
        self._task = trio.lowlevel.current_task()

    def begin(self) -> None:
        """In the other loop."""
        try:
            trio.lowlevel.spawn_system_task(self._run)
        except RuntimeError:  # it is just ending
            self._tell(outcome.Error(LoopEnded()))

    def finish(self, result: outcome.Outcome[T]) -> None:
        """Let the caller go on, once."""
        if self in self._calls:
            self._calls.discard(self)
            trio.lowlevel.reschedule(self._task, result)

    async def _run(self) -> None:
        result: outcome.Outcome[T] = outcome.Error(LoopEnded())
        try:
            with self.scope:
                result = await _captured(self._function)
            if self.scope.cancelled_caught:
                result = outcome.Error(_Cancelled())
        finally:
            self._tell(result)

    def _tell(self, result: outcome.Outcome[T]) -> None:
        self._home.soon(lambda: self.finish(result))


async def _captured(function: Callable[[], Awaitable[T]]) -> outcome.Outcome[T]:
    """Its result; a cancellation goes its own way."""
    try:
        return outcome.Value(await function())
    except Exception as error:
        return outcome.Error(error)


def _unfailing(function: Callable[[], object]) -> None:
    try:
        function()
    except Exception as error:
        log_failure(log, "a message to another event loop", error)
