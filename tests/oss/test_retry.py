"""Whether and when to ask again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume import errors
from ossfs_resume.errors import OriginError
from ossfs_resume.oss.retry import Patience, wait_before_retry

LATE = 0.999999


@pytest.mark.parametrize(
    "kind",
    [
        errors.NotFound,
        errors.NoSuchBucket,
        errors.AccessDenied,
        errors.ObjectChanged,
        errors.NotReadable,
        errors.BadRequest,
        OriginError,
    ],
)
def test_what_another_attempt_cannot_cure_is_not_retried(kind: type[OriginError]) -> None:
    assert wait_before_retry(kind("x"), 0, 0.0, 0.0, 0.0) is None


@pytest.mark.parametrize(
    ("kind", "ceilings"),
    [
        (errors.Unreachable, [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20.0, 20.0]),
        (errors.Throttled, [1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]),
    ],
)
def test_the_ceiling_doubles_up_to_its_limit(
    kind: type[OriginError], ceilings: list[float]
) -> None:
    waits = [wait_before_retry(kind("x"), n, 0.0, 0.0, LATE) for n in range(len(ceilings))]
    assert waits == pytest.approx(ceilings, rel=1e-3)


@pytest.mark.parametrize(("budget_s", "ceiling_s"), [(12.0, 1.2), (60.0, 6.0), (600.0, 20.0)])
def test_whoever_has_little_time_asks_more_often(budget_s: float, ceiling_s: float) -> None:
    wait = wait_before_retry(errors.Throttled("x"), 9, 0.0, budget_s, LATE)
    assert wait == pytest.approx(ceiling_s, rel=1e-3)


@pytest.mark.parametrize("kind", [errors.ClockSkewed, errors.Disconnected])
def test_what_was_corrected_by_the_failure_is_tried_at_once_but_only_once(
    kind: type[OriginError],
) -> None:
    assert wait_before_retry(kind("x"), 0, 0.0, 60.0, LATE) == 0.0
    assert wait_before_retry(kind("x"), 1, 0.0, 60.0, LATE) != 0.0


def test_without_a_budget_it_never_gives_up() -> None:
    assert wait_before_retry(errors.Unreachable("x"), 10**6, 1e9, 0.0, LATE) is not None


@given(
    attempt=st.integers(0, 10**6),
    idle_s=st.floats(0, 1e6),
    budget_s=st.floats(0.001, 1e6),
    fraction=st.floats(0, 1, exclude_max=True),
)
def test_no_wait_ends_after_the_budget(
    attempt: int, idle_s: float, budget_s: float, fraction: float
) -> None:
    wait = wait_before_retry(errors.ServerFailed("x"), attempt, idle_s, budget_s, fraction)
    if idle_s >= budget_s:
        assert wait is None
    else:
        assert wait is not None
        assert 0 <= wait <= min(20.0, budget_s - idle_s)


def test_progress_restores_the_whole_budget() -> None:
    patience = Patience(10.0, 0.0)
    assert patience.wait(errors.Unreachable("x"), 9.0, LATE) == pytest.approx(0.2, rel=1e-3)
    patience.progress(9.5)
    assert patience.wait(errors.Unreachable("x"), 19.0, LATE) == pytest.approx(0.2, rel=1e-3)
    assert patience.wait(errors.Unreachable("x"), 19.5, LATE) is None
