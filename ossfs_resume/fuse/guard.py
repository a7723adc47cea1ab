"""The wall between our handlers and pyfuse3's main loop.

pyfuse3 lets exactly one exception through: ``FUSEError`` becomes an errno. Anything else ends the
main loop, every caller gets ECONNABORTED and the mount is dead. Therefore every handler is wrapped
in :func:`guarded`, which

- maps errors of our tree to their errno, and anything unknown to EIO with a traceback in the log;
- sets a deadline of last resort, since a caller in an uninterruptible sleep waits for our answer
  and a ``kill -9`` of it waits as well;
- admits the call through a :class:`Gate`, so that a stop can end every running handler *with an
  answer*. A handler that were merely cancelled would leave locked pages behind, and whoever waits
  for such a page (an invalidation, for instance) could not be killed.

Only ``Exception`` is caught: a cancellation from outside must pass.
"""

import errno
import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, NoReturn, ParamSpec, Protocol, TypeVar

import pyfuse3
import trio

from ossfs_resume.errors import OssfsError, ShuttingDown
from ossfs_resume.fuse.errno_map import errno_of, sole_error
from ossfs_resume.shortages import log_failure

_log = logging.getLogger(__name__)

_GOING_AWAY = "the mount is going away"

P = ParamSpec("P")
T = TypeVar("T")


class Gate:
    """Knows the running handlers, and turns new ones away once it is closed."""

    def __init__(self) -> None:
        self._running: set[trio.CancelScope] = set()
        self._emptied: trio.Event | None = None
        self.is_closed = False

    def __repr__(self) -> str:
        return f"<Gate {'closed' if self.is_closed else 'open'}, {self.running} running>"

    @property
    def running(self) -> int:
        """Handlers that have not answered yet."""
        return len(self._running)

    def enter(self, limit_s: float) -> trio.CancelScope:
        """A scope for one handler, to be given to :meth:`leave`; ShuttingDown when closed."""
        if self.is_closed:
            raise ShuttingDown(_GOING_AWAY)
        scope = trio.CancelScope(deadline=trio.current_time() + limit_s)
        self._running.add(scope)
        return scope

    def leave(self, scope: trio.CancelScope) -> None:
        self._running.discard(scope)
        if self._emptied is not None and not self._running:
            self._emptied.set()

    async def close(self, grace_s: float) -> None:
        """Admit nobody, give the running ones ``grace_s`` seconds, then cancel what is left.

        Returns when all have answered, or after another ``grace_s`` seconds if some handler shields
        itself from cancellation.
        """
        self.is_closed = True
        self._emptied = trio.Event()
        with trio.move_on_after(grace_s):
            await self._empty(self._emptied)
        for scope in self._running:
            scope.cancel()
        with trio.move_on_after(grace_s):
            await self._empty(self._emptied)

    async def _empty(self, emptied: trio.Event) -> None:
        if self._running:
            await emptied.wait()


class Guarded(Protocol):
    """What a class must have for its methods to be guarded."""

    gate: Gate

    def limit_s(self, *, waits_for_data: bool) -> float: ...


G = TypeVar("G", bound=Guarded)
Handler = Callable[Concatenate[G, P], Coroutine[Any, Any, T]]


def guarded(
    *, waits_for_data: bool = False, at_once: Callable[..., Any] | None = None
) -> Callable[[Handler[G, P, T]], Handler[G, P, T]]:
    """Make a handler raise nothing but ``FUSEError``, and end by a deadline.

    ``waits_for_data`` marks handlers that may legitimately wait as long as the origin takes.
    ``at_once``, which takes the same arguments, may have the answer without waiting for anything;
    the handler runs if that is None.
    """

    def decorate(method: Handler[G, P, T]) -> Handler[G, P, T]:
        @functools.wraps(method)
        async def guard(self: G, /, *args: P.args, **kwargs: P.kwargs) -> T:
            gate = self.gate
            try:
                if at_once is not None and not gate.is_closed:
                    answer: T | None = at_once(self, *args, **kwargs)
                    if answer is not None:
                        return answer
                limit_s = self.limit_s(waits_for_data=waits_for_data)
                with gate.enter(limit_s) as scope:
                    try:
                        return await method(self, *args, **kwargs)
                    finally:
                        gate.leave(scope)
                # Reached only when the scope itself was cancelled, by its deadline or by the gate.
                if gate.is_closed:
                    raise ShuttingDown(_GOING_AWAY)
                raise TimeoutError(f"no answer within {limit_s:.0f} s")
            except pyfuse3.FUSEError:
                raise
            except Exception as error:
                _answer(method.__name__, error)

        guard.is_guarded = True  # type: ignore[attr-defined]
        return guard

    return decorate


def _answer(name: str, error: Exception) -> NoReturn:
    error = sole_error(error)
    if isinstance(error, OssfsError):
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("%s: %s: %s", name, type(error).__name__, error)
        raise pyfuse3.FUSEError(errno_of(error)) from error
    if isinstance(error, TimeoutError) and error.errno is None:
        _log.warning("%s: %s", name, error)
        raise pyfuse3.FUSEError(errno.ETIMEDOUT) from error
    log_failure(_log, name, error)
    raise pyfuse3.FUSEError(errno.EIO) from error
