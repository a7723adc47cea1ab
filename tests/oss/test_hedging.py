"""Second attempts: when, how many, and that whoever answers first is used."""

from collections.abc import Callable

import pytest
import trio

from ossfs_resume.errors import Unreachable
from ossfs_resume.oss.hedging import LEAST_SAMPLES, FirstBytes, race


def known(seconds: float, count: int = 100) -> FirstBytes:
    times = FirstBytes()
    for _ in range(count):
        times.add(seconds)
    return times


def test_nothing_is_unusual_until_enough_is_known() -> None:
    assert known(0.1, LEAST_SAMPLES - 1).patience_s() is None


def test_unusual_is_four_times_the_slow_ones_and_a_second_at_least() -> None:
    assert known(0.01).patience_s() == 1.0
    assert known(2.0).patience_s() == 8.0


def test_second_attempts_are_a_few_percent() -> None:
    times, spent = FirstBytes(), 0
    for _ in range(1000):
        times.add(0.1)
        spent += times.spend()
    assert 20 <= spent <= 31


class Attempts:
    """Each attempt waits for so many seconds, answers, and works for a while; or fails."""

    def __init__(self, *seconds: float | Exception) -> None:
        self.script = list(seconds)
        self.count = 0
        self.finished: list[int] = []

    async def __call__(self, is_first: Callable[[], bool]) -> int:
        number, self.count = self.count, self.count + 1
        step = self.script[number]
        if isinstance(step, Exception):
            raise step
        await trio.sleep(step)
        if is_first():
            await trio.sleep(10)
            self.finished.append(number)
        return number


async def test_a_prompt_answer_costs_one_attempt(autojump_clock: object) -> None:
    attempts = Attempts(0.5, 0)
    assert await race(attempts, 1, lambda: True) == 0
    assert attempts.count == 1


async def test_the_second_attempt_is_used_if_it_answers_first(autojump_clock: object) -> None:
    attempts = Attempts(100, 0.1)
    assert await race(attempts, 1, lambda: True) == 1
    assert attempts.finished == [1]
    assert trio.current_time() < 20


async def test_the_first_attempt_is_used_if_it_answers_after_all(autojump_clock: object) -> None:
    attempts = Attempts(1.5, 100)
    assert await race(attempts, 1, lambda: True) == 0
    assert attempts.finished == [0]


async def test_a_second_attempt_that_fails_changes_nothing(autojump_clock: object) -> None:
    attempts = Attempts(3, Unreachable("second"))
    assert await race(attempts, 1, lambda: True) == 0


async def test_without_a_budget_there_is_no_second_attempt(autojump_clock: object) -> None:
    attempts = Attempts(5)
    assert await race(attempts, 1, lambda: False) == 0


async def test_a_failure_before_patience_ends_is_the_outcome() -> None:
    with pytest.raises(Unreachable, match="only"):
        await race(Attempts(Unreachable("only")), 1, lambda: True)
