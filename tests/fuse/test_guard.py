"""The wall lets nothing through but FUSEError, and opens for a stop."""

import errno
import inspect
import logging
from collections.abc import Callable

import pyfuse3
import pytest
import trio
import trio.testing

from ossfs_resume.errors import AccessDenied, StaleVersion
from ossfs_resume.fuse.guard import Gate, guarded
from ossfs_resume.fuse.operations import Operations

HANDLERS = sorted(
    name for name, value in vars(pyfuse3.Operations).items() if inspect.iscoroutinefunction(value)
)


class Handlers:
    """A guarded class with one handler that does what it is told."""

    def __init__(self, limit_s: float = 10.0) -> None:
        self.gate = Gate()
        self._limit_s = limit_s

    def limit_s(self, *, waits_for_data: bool) -> float:
        return self._limit_s * (100 if waits_for_data else 1)

    @guarded()
    async def handle(self, action: Callable[[], object]) -> object:
        return action()

    @guarded()
    async def wait(self) -> None:
        await trio.sleep_forever()

    @guarded(waits_for_data=True)
    async def wait_for_data(self) -> None:
        await trio.sleep_forever()


def raiser(error: Exception) -> Callable[[], object]:
    def act() -> object:
        raise error

    return act


def test_pyfuse3_has_the_handlers_this_was_written_for() -> None:
    assert len(HANDLERS) >= 29
    assert {"lookup", "forget", "read", "readdir", "create", "poll"} <= set(HANDLERS)


@pytest.mark.parametrize("name", HANDLERS)
def test_every_handler_is_our_own_and_guarded(name: str) -> None:
    handler = getattr(Operations, name)
    assert handler is not getattr(pyfuse3.Operations, name)
    assert name == "forget" or handler.is_guarded


async def test_the_answer_passes() -> None:
    assert await Handlers().handle(lambda: 42) == 42


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (AccessDenied("no"), errno.EACCES),
        (ExceptionGroup("nursery", [StaleVersion("gone")]), errno.ESTALE),
        (pyfuse3.FUSEError(errno.EXDEV), errno.EXDEV),
    ],
)
async def test_known_errors_become_their_errno_without_noise(
    error: Exception, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(pyfuse3.FUSEError) as raised:
        await Handlers().handle(raiser(error))
    assert raised.value.errno == number
    assert not caplog.records


async def test_unknown_errors_become_eio_with_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(pyfuse3.FUSEError) as raised:
        await Handlers().handle(raiser(ZeroDivisionError("defect")))
    assert raised.value.errno == errno.EIO
    assert caplog.records[0].levelno == logging.ERROR
    assert caplog.records[0].exc_info is not None


async def test_a_handler_that_never_answers_ends_at_its_limit(
    autojump_clock: trio.testing.MockClock,
) -> None:
    handlers = Handlers(limit_s=10)
    with pytest.raises(pyfuse3.FUSEError) as raised:
        await handlers.wait()
    assert raised.value.errno == errno.ETIMEDOUT
    assert trio.current_time() == pytest.approx(10)
    with pytest.raises(pyfuse3.FUSEError):
        await handlers.wait_for_data()
    assert trio.current_time() == pytest.approx(1010)


async def test_cancellation_from_outside_passes_and_leaves_the_gate() -> None:
    handlers = Handlers()
    with trio.CancelScope() as scope:
        scope.cancel()
        await handlers.wait()
    assert scope.cancelled_caught
    assert handlers.gate.running == 0


async def test_closing_makes_running_handlers_answer_eio_and_admits_no_more(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    handlers, numbers = Handlers(limit_s=1000), []

    async def call() -> None:
        with pytest.raises(pyfuse3.FUSEError) as raised:
            await handlers.wait()
        numbers.append(raised.value.errno)

    for _ in range(3):
        nursery.start_soon(call)
    await trio.testing.wait_all_tasks_blocked()
    assert repr(handlers.gate) == "<Gate open, 3 running>"
    await handlers.gate.close(grace_s=2)
    assert trio.current_time() == pytest.approx(2)
    assert handlers.gate.running == 0
    await call()
    assert numbers == [errno.EIO] * 4


async def test_closing_does_not_wait_when_all_answer_by_themselves(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gate, started = Gate(), trio.Event()

    async def answer_after_a_second() -> None:
        scope = gate.enter(100)
        started.set()
        await trio.sleep(1)
        gate.leave(scope)

    nursery.start_soon(answer_after_a_second)
    await started.wait()
    await gate.close(grace_s=50)
    assert trio.current_time() == pytest.approx(1)
