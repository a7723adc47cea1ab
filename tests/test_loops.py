"""Calls between two event loops: each ends exactly once, whatever happens on either side."""

import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.lowlevel

from ossfs_resume.loops import Loop, LoopEnded
from support.waiting import PATIENCE_S


class Other:
    """A loop in a thread."""

    def __init__(self) -> None:
        self.home = Loop.here()
        self.clock = trio.lowlevel.current_clock()
        self.ready = trio.Event()
        self.ended = trio.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        trio.run(self._main, clock=self.clock)
        self.home.post(self.ended.set)

    async def _main(self) -> None:
        self.loop = Loop.here()
        self.over = trio.Event()
        self.home.post(self.ready.set)
        await self.over.wait()

    def end(self) -> None:
        self.loop.post(self.over.set)


@asynccontextmanager
async def another() -> AsyncIterator[Other]:
    other = Other()
    other.thread.start()
    with trio.fail_after(PATIENCE_S):
        await other.ready.wait()
        yield other
        other.end()
        await other.ended.wait()


async def double(number: int) -> int:
    await trio.lowlevel.checkpoint()
    return 2 * number


async def test_a_call_returns_what_the_other_side_returns() -> None:
    async with another() as other:
        assert await other.loop.call(double, 21) == 42
        assert await Loop.here().call(double, 1) == 2


async def test_a_call_raises_what_the_other_side_raises() -> None:
    async def fail() -> None:
        raise ZeroDivisionError("there")

    async with another() as other:
        with pytest.raises(ZeroDivisionError, match="there"):
            await other.loop.call(fail)


async def test_a_cancelled_call_returns_when_the_other_side_has_ended() -> None:
    steps: list[str] = []

    async def stubborn() -> None:
        try:
            home.post(begun.set)
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.02)
            steps.append("ended there")

    home, begun = Loop.here(), trio.Event()
    async with another() as other, trio.open_nursery() as nursery:

        async def call() -> None:
            try:
                await other.loop.call(stubborn)
            finally:
                steps.append("ended here")

        nursery.start_soon(call)
        await begun.wait()
        nursery.cancel_scope.cancel()
    assert steps == ["ended there", "ended here"]


async def test_what_a_cancelled_call_has_done_all_the_same_is_returned() -> None:
    async def finish() -> str:
        home.post(begun.set)
        with trio.CancelScope(shield=True):
            await trio.sleep(0.02)
        return "done"

    home, begun = Loop.here(), trio.Event()
    results: list[str] = []
    async with another() as other, trio.open_nursery() as nursery:

        async def call() -> None:
            results.append(await other.loop.call(finish))

        nursery.start_soon(call)
        await begun.wait()
        nursery.cancel_scope.cancel()
    assert results == ["done"]


async def test_the_end_of_a_loop_ends_all_calls() -> None:
    ends: list[bool] = []
    async with another() as other, trio.open_nursery() as nursery:

        async def call() -> None:
            with pytest.raises(LoopEnded):
                await other.loop.call(trio.sleep_forever)
            ends.append(True)

        for _ in range(10):
            nursery.start_soon(call)
        await trio.testing.wait_all_tasks_blocked()
        other.end()
        await other.ended.wait()
        with pytest.raises(LoopEnded):
            await other.loop.call(double, 1)
        other.loop.post(ends.append, False)
    assert ends == [True] * 10


async def test_a_loop_that_hangs_is_given_up_and_not_heard_any_more() -> None:
    gate, heard = threading.Event(), []

    async def hang() -> str:
        gate.wait(PATIENCE_S)
        return "late"

    async with another() as other:
        async with trio.open_nursery() as nursery:

            async def call() -> None:
                with pytest.raises(LoopEnded):
                    heard.append(await other.loop.call(hang))

            nursery.start_soon(call)
            nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked()
            other.loop.give_up()
        with pytest.raises(LoopEnded):
            await other.loop.call(double, 1)
        gate.set()
    assert heard == []


async def test_posts_come_in_their_order_and_before_what_is_returned_after_them() -> None:
    heard: list[int] = []
    home = Loop.here()

    async def tell() -> None:
        for number in range(1000):
            home.post(heard.append, number)

    async with another() as other:
        await other.loop.call(tell)
        assert heard == list(range(1000))


async def test_a_message_that_fails_ends_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async with another() as other:
        other.loop.post(lambda: 1 // 0)
        assert await other.loop.call(double, 2) == 4
    assert "a message to another event loop failed" in caplog.text


async def test_both_loops_may_have_the_same_time() -> None:
    async def now() -> float:
        return trio.current_time()

    async with another() as other:
        before = trio.current_time()
        there = await other.loop.call(now)
        assert before <= there <= trio.current_time()


async def test_no_wake_up_is_lost() -> None:
    """Calls in both directions, from many tasks, some cancelled at any moment, while both loops
    sleep and wake all the time."""
    home, done = Loop.here(), 0
    draw = random.Random(7)

    async def there(number: int, pause_s: float) -> int:
        if number % 3:
            await trio.sleep(pause_s)
        back = await home.call(double, number)
        if number % 5 == 0:
            await trio.sleep(pause_s)
        return back

    async def caller(other: Other, name: int) -> None:
        nonlocal done
        for number in range(150):
            with trio.move_on_after(draw.random() * 0.002 if number % 7 == 0 else PATIENCE_S):
                found = await other.loop.call(there, number, draw.random() * 0.003)
                assert found == 2 * number
            if number % 11 == 0:
                await trio.sleep(draw.random() * 0.002)
            done += 1

    async with another() as other, trio.open_nursery() as nursery:
        for name in range(20):
            nursery.start_soon(caller, other, name)
    assert done == 20 * 150


async def test_every_call_of_a_loop_that_has_ended_is_told_so() -> None:
    async with another() as other:
        loop = other.loop
    for _ in range(3):
        with trio.fail_after(PATIENCE_S), pytest.raises(LoopEnded):
            await loop.call(double, 1)
