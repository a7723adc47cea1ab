"""Second attempts: when, how many, and that whoever is heard first is used."""

import gc
import weakref

import pytest
import trio

from ossfs_resume.errors import Unreachable
from ossfs_resume.oss.hedging import LEAST_SAMPLES, Contests, Hedges, Turn


def known(seconds: float, count: int = 100, limit: int = 2) -> Hedges:
    hedges = Hedges(limit)
    for _ in range(count):
        hedges.add(seconds)
    return hedges


def test_nothing_is_unusual_until_enough_is_known() -> None:
    hedges = known(0.1, LEAST_SAMPLES - 1)
    assert hedges.patience_s() is None


def test_unusual_is_four_times_the_slow_ones_and_a_second_at_least() -> None:
    assert known(0.01).patience_s() == 1.0
    assert known(2.0).patience_s() == 8.0


def test_second_attempts_are_a_few_percent() -> None:
    hedges = Hedges(2)
    for _ in range(1000):
        hedges.add(0.1)
        if hedges.patience_s() is not None:
            hedges.begin()
            hedges.end(in_vain=True)
    assert 20 <= hedges.started <= 31


def test_those_not_in_vain_cost_nothing_of_the_budget() -> None:
    hedges = known(0.1)
    for _ in range(1000):
        assert hedges.patience_s() is not None
        hedges.begin()
        hedges.end(in_vain=False)


def test_no_more_than_the_limit_run_at_once() -> None:
    hedges = known(0.1, limit=1)
    hedges.begin()
    assert hedges.patience_s() is None
    hedges.end(in_vain=False)
    assert hedges.patience_s() is not None


class Attempts:
    """Each attempt hears something after each of so many seconds, and delivers it; or fails."""

    def __init__(self, *scripts: list[float | Exception]) -> None:
        self.scripts = scripts
        self.count = 0
        self.delivered: list[int] = []
        self.at = 0.0

    async def __call__(self, turn: Turn) -> int:
        number, self.count = self.count, self.count + 1
        for step in self.scripts[number]:
            turn.listen()
            if isinstance(step, Exception):
                raise step
            await trio.sleep(step)
            if not turn.hear():
                return number
            self.delivered.append(number)
            self.at = trio.current_time()
            await trio.sleep(10)  # whoever takes the bytes may take long: that is no silence
        return number


async def test_a_prompt_answer_costs_one_attempt(autojump_clock: object) -> None:
    attempts, hedges = Attempts([0.5, 0.5, 0.9]), known(0.1)
    assert await Contests(hedges).race(attempts) == 0
    assert (attempts.count, hedges.started) == (1, 0)


async def test_the_second_attempt_is_used_if_it_is_heard_first(autojump_clock: object) -> None:
    attempts = Attempts([100], [0.1])
    assert await Contests(known(0.1)).race(attempts) == 1
    assert (attempts.delivered, attempts.at) == ([1], pytest.approx(1.1, abs=0.01))


async def test_the_first_attempt_is_used_if_it_is_heard_after_all(autojump_clock: object) -> None:
    attempts = Attempts([1.5], [100])
    assert await Contests(known(0.1)).race(attempts) == 0
    assert attempts.delivered == [0]


async def test_a_body_that_falls_silent_is_taken_over_by_a_second_attempt(
    autojump_clock: object,
) -> None:
    attempts = Attempts([0.1, 0.1, 1000], [0.2])
    assert await Contests(known(0.1)).race(attempts) == 1
    assert attempts.delivered == [0, 0, 1]
    assert trio.current_time() < 40


async def test_the_second_attempt_is_watched_like_the_first(autojump_clock: object) -> None:
    attempts = Attempts([1000], [0.1, 1000], [0.1])
    assert await Contests(known(0.1)).race(attempts) == 2
    assert attempts.delivered == [1, 2]


async def test_a_second_attempt_that_fails_changes_nothing(autojump_clock: object) -> None:
    attempts = Attempts([1.8], [Unreachable("second")])
    assert await Contests(known(0.1)).race(attempts) == 0
    assert attempts.count == 2


async def test_after_a_second_attempt_that_failed_there_is_a_third_but_not_at_once(
    autojump_clock: object,
) -> None:
    attempts = Attempts([1000], [Unreachable("second")], [0.1])
    assert await Contests(known(0.1)).race(attempts) == 2
    assert attempts.at == pytest.approx(2.1, abs=0.01)


async def test_what_was_heard_last_counts_when_it_fails(autojump_clock: object) -> None:
    attempts = Attempts([100], [0.2, Unreachable("heard last")])
    with pytest.raises(Unreachable, match="heard last"):
        await Contests(known(0.1)).race(attempts)


async def test_without_a_budget_there_is_no_second_attempt(autojump_clock: object) -> None:
    attempts, hedges = Attempts([5]), known(0.1)
    while hedges.patience_s() is not None:
        hedges.begin()
        hedges.end(in_vain=True)
    assert await Contests(hedges).race(attempts) == 0
    assert attempts.count == 1


async def test_second_attempts_that_fail_come_ever_later(autojump_clock: object) -> None:
    refused = [Unreachable("refused")]
    attempts = Attempts([30], *[refused] * 9)
    assert await Contests(known(0.1)).race(attempts) == 0
    assert attempts.count == 6  # after 1, 2, 4, 8 and 16 seconds


async def test_a_failure_is_the_outcome_if_nobody_else_runs(autojump_clock: object) -> None:
    with pytest.raises(Unreachable, match="only"):
        await Contests(known(0.1)).race(Attempts([Unreachable("only")]))


async def test_what_is_heard_never_comes_from_two_attempts_at_once(autojump_clock: object) -> None:
    """Both are heard in the same moment, in either order."""
    for first in (1.1, 1.1 - 1e-9, 1.1 + 1e-9):
        attempts = Attempts([first], [0.1])
        assert await Contests(known(0.1)).race(attempts) in (0, 1)
        assert len(attempts.delivered) == 1


@pytest.mark.parametrize("after", [0.5, 1.2, 5.0])
async def test_a_race_that_is_cancelled_leaves_room_for_the_next(
    after: float, autojump_clock: object
) -> None:
    hedges = known(0.1, limit=1)
    with trio.move_on_after(after):
        await Contests(hedges).race(Attempts([100], [100]))
    assert hedges.patience_s() is not None


async def test_a_race_that_is_cancelled_after_a_failure_keeps_nothing_of_it() -> None:
    """The collector of cycles comes by seldom in a mount."""
    kept: list[weakref.ref[Unreachable]] = []

    async def fail_too_late(turn: Turn) -> None:
        error = Unreachable("too late")
        kept.append(weakref.ref(error))
        budget.cancel()
        try:
            raise error
        finally:
            del error

    gc.disable()
    try:
        with trio.CancelScope() as budget:
            await Contests(Hedges(1)).race(fail_too_late)
        assert budget.cancelled_caught
        assert kept[0]() is None
    finally:
        gc.enable()
