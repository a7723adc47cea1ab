"""A budget keeps its rate, saves little, and costs nothing without a limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.fetch.bandwidth import SAVED_S, Budget


@given(st.lists(st.tuples(st.integers(1, 1 << 20), st.floats(0, 1)), min_size=1))
def test_never_more_than_the_rate_and_what_was_saved(spent: list[tuple[int, float]]) -> None:
    budget, now, rate = Budget(1e6), 50.0, 1e6
    for count, later in spent:
        now += budget.spend(count, now) + later
    elapsed = now - spent[-1][1] - 50.0
    assert elapsed >= sum(count for count, _ in spent) / rate - SAVED_S - 1e-6


def test_a_sender_that_is_always_ready_gets_the_whole_rate() -> None:
    budget, now = Budget(1000), 0.0
    for _ in range(100):
        now += budget.spend(50, now)
    assert now == pytest.approx(5.0, abs=SAVED_S + 0.01)


def test_no_rate_is_no_limit() -> None:
    assert Budget(0).spend(1 << 40, 0.0) == 0
