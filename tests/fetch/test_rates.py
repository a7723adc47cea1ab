"""How fast a link is, and when its newest byte came. A budget keeps its rate, saves little, and
costs nothing without a limit.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.fetch.rates import SAVED_S, Budget, RateMeter, Traffic


def test_the_meter_counts_busy_time_only() -> None:
    meter = RateMeter()
    meter.begin(100.0)
    assert not meter.add(1000, 100.04)
    assert meter.rate is None
    assert meter.add(1000, 101.0)
    assert meter.rate == 2000.0
    assert not meter.add(0, 101.2)  # from then on a quarter of a second at a time
    meter.begin(500.0)
    assert meter.add(2000, 501.0)
    assert meter.rate == 2000.0


def test_bytes_are_counted_and_the_newest_is_remembered() -> None:
    traffic = Traffic()
    traffic.begin(100.0)
    assert not traffic.arrived(1000, 100.04)
    assert traffic.arrived(1000, 101.0)
    assert (traffic.bytes_received, traffic.bytes_per_second) == (2000, 2000.0)
    assert traffic.newest_byte == 101.0


def test_a_pause_of_our_own_counts_as_if_bytes_had_come_at_its_end() -> None:
    traffic = Traffic()
    traffic.arrived(1, 10.0)
    traffic.excuse(15.0)
    assert traffic.newest_byte == 15.0
    traffic.excuse(12.0)
    assert traffic.newest_byte == 15.0


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
