"""The pace: one refusal slows everybody, success speeds up again, never beyond what is usual."""

from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.oss.throttling import FORGOTTEN_S, LONGEST_PAUSE_S, Pace


def test_a_refusal_halves_and_pauses_once_for_all_that_were_under_way() -> None:
    pace = Pace(32)
    for _ in range(10):
        pace.throttled(100.0)
    assert pace.width == 16
    assert 0 < pace.wait_s(100.0) < 1
    assert pace.wait_s(102.0) == 0


def test_refusals_in_later_rounds_slow_further_and_pause_longer() -> None:
    pace, pauses = Pace(32), []
    for now in range(0, 1000, 100):
        pace.throttled(float(now))
        pauses.append(pace.wait_s(float(now)))
    assert pace.width == 1
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_S


def test_a_round_of_success_adds_about_one_request() -> None:
    pace = Pace(32)
    pace.throttled(0.0)
    for _ in range(16):
        pace.succeeded(5.0)
    assert 16.9 < pace.width <= 17


def test_a_refusal_of_long_ago_is_forgotten() -> None:
    pace = Pace(32)
    pace.throttled(0.0)
    pace.succeeded(FORGOTTEN_S)
    assert (pace.width, pace.share) == (32, 1)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3))), st.integers(1, 100))
def test_the_width_stays_between_one_and_the_limit(
    events: list[tuple[bool, float]], limit: int
) -> None:
    pace, now = Pace(limit), 0.0
    for is_refusal, later in events:
        now += later
        (pace.throttled if is_refusal else pace.succeeded)(now)
        assert 1 <= pace.width <= limit
        assert 0 <= pace.wait_s(now) <= LONGEST_PAUSE_S + 1e-9
