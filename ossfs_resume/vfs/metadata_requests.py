"""Asking the origin for metadata: shared between those who ask the same, and never in vain.

*Could not ask* is not *gone*. Whoever already knows something, however old, waits two seconds at
most for news and then goes on with what it knows. Once a request failed or took too long the origin
counts as *down*, and nobody who knows something waits at all; every few seconds one such caller's
request is sent in the background, and any answer, to whomever, ends the state. Whoever knows
nothing waits for the request itself, as long as the client below retries. When that was in vain for
one, it need not be so for all: until somebody is answered the others wait two seconds as well.

Requests run in the nursery of the mount, not in the caller's task: a caller that gives up leaves
the request running, and its answer serves the next one.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Generic, TypeVar

import trio

from ossfs_resume.errors import NotFound, OriginError, OriginTimeout, ShuttingDown, TransientError
from ossfs_resume.oss.models import ListPage, ObjectMeta, Symlink
from ossfs_resume.vfs.interfaces import Lister

log = logging.getLogger(__name__)

T = TypeVar("T")

COMPLAINT_INTERVAL_S = 60.0
PATIENCE_S = 2.0
"""How long somebody who has an old answer waits for a new one."""

REQUESTS_IN_TURN = 2
"""How many requests, each as late as it may be, one answer to the kernel may take."""

RETRY_INTERVAL_S = 5.0
"""Pause between background requests while the origin is down."""


class SharedCall(Generic[T]):
    """One call running in the background whose outcome any number of tasks may await."""

    def __init__(self, nursery: trio.Nursery, call: Callable[[], Awaitable[T]]) -> None:
        self._done = trio.Event()
        self._values: list[T] = []
        self._error: Exception = ShuttingDown("the file system is being unmounted")
        nursery.start_soon(self._run, call)

    @property
    def is_done(self) -> bool:
        """The outcome is known."""
        return self._done.is_set()

    async def result(self) -> T:
        """Wait for the outcome. Raises what the call raised; ShuttingDown if it was cancelled."""
        await self._done.wait()
        if self._values:
            return self._values[0]
        # One exception for many tasks: each starts a traceback of its own.
        raise self._error.with_traceback(None)

    async def _run(self, call: Callable[[], Awaitable[T]]) -> None:
        try:
            self._values.append(await call())
        except Exception as error:
            self._error = error
        finally:
            self._done.set()


class Origin:
    """Metadata requests, counted, with the one judgement of whether the origin can be reached."""

    def __init__(
        self,
        lister: Lister,
        nursery: trio.Nursery,
        root_prefix: str = "",
        timeout_s: float = inf,
    ) -> None:
        """``root_prefix`` is what all keys of the tree start with; ``timeout_s`` is after how many
        seconds the lister gives one request up."""
        self.root_prefix = root_prefix
        self.is_down = False
        self.list_requests = 0
        self.head_requests = 0
        self.stale_served = 0
        self._lister = lister
        self._nursery = nursery
        self._timeout_s = timeout_s
        self._retry_at = 0.0
        self._silent_until: dict[str, float] = {}
        self._last_error: TransientError | None = None

    def __repr__(self) -> str:
        state = "down" if self.is_down else "up"
        return f"<Origin {state} lists={self.list_requests} heads={self.head_requests}>"

    async def list_page(
        self, prefix: str, *, token: str = "", delimiter: str = "/", max_keys: int = 1000
    ) -> ListPage:
        """One page of keys. Raises OriginError."""
        self.list_requests += 1
        return await self._judge(
            self._lister.list_page(prefix, token=token, delimiter=delimiter, max_keys=max_keys)
        )

    async def head(self, key: str) -> ObjectMeta:
        """The current version of an object. Raises OriginError."""
        self.head_requests += 1
        return await self._judge(self._lister.head(key))

    @contextmanager
    def deadline(self, what: str) -> Iterator[None]:
        """An end to what takes any number of requests. Raises OriginTimeout.

        It is later than that of a single one, whose error says more.
        """
        try:
            with trio.move_on_after(REQUESTS_IN_TURN * self._timeout_s) as scope:
                yield
            if scope.cancelled_caught:
                raise OriginTimeout(f"{what}: no end of it in time")
        except OriginError as error:
            self._complain(error)  # several right answers may be wrong together
            raise

    async def read_link(self, key: str) -> Symlink:
        """A symlink object itself. Raises OriginError."""
        return await self._judge(self._lister.read_link(key))

    def share(self, call: Callable[[], Awaitable[T]]) -> SharedCall[T]:
        """Run ``call`` in the background, for any number of tasks to await."""
        return SharedCall(self._nursery, call)

    async def attempt(self, start: Callable[[], SharedCall[T]]) -> T | None:
        """The result of a shared call, or None if the caller should go on with what it knows.

        Raises OriginError for answers that another attempt would not better.
        """
        if self.is_down:
            if trio.current_time() >= self._retry_at:
                self._fail()
                start()
        else:
            with trio.move_on_after(PATIENCE_S):
                try:
                    return await start().result()
                except TransientError:
                    pass
            self._fail()
        self.stale_served += 1
        return None

    async def insist(self, call: SharedCall[T]) -> T:
        """The result of a shared call, for somebody who knows nothing. Raises OriginError."""
        error = self._last_error  # an answer to somebody else may clear it meanwhile
        if error is None:
            return await call.result()
        with trio.move_on_after(PATIENCE_S):
            return await call.result()
        raise error.with_traceback(None)

    async def _judge(self, request: Awaitable[T]) -> T:
        try:
            answer = await request
        except TransientError as error:
            self._fail()
            self._last_error = error
            self._complain(error)
            raise
        except OriginError as error:
            self._answered()
            self._complain(error)
            raise
        self._answered()
        return answer

    def _answered(self) -> None:
        self.is_down, self._last_error = False, None

    def _complain(self, error: OriginError) -> None:
        """One line in the log for each kind of trouble, with OSS's identifiers; once a minute."""
        kind, now = error.code or type(error).__name__, trio.current_time()
        if isinstance(error, NotFound) or error.is_told:
            log.debug("%s", error, extra=error.fields)
        elif now >= self._silent_until.get(kind, now):
            self._silent_until[kind] = now + COMPLAINT_INTERVAL_S
            log.warning("%s", error, extra=error.fields)

    def _fail(self) -> None:
        self.is_down = True
        self._retry_at = trio.current_time() + RETRY_INTERVAL_S
