"""Requests cover exactly the missing parts that nobody fetches."""

from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.fetch import plan

part_sets = st.sets(st.integers(0, 60))


def runs_of(parts: set[int]) -> list[range]:
    runs: list[range] = []
    for part in sorted(parts):
        if runs and runs[-1].stop == part:
            runs[-1] = range(runs[-1].start, part + 1)
        else:
            runs.append(range(part, part + 1))
    return runs


@given(missing=part_sets, claimed=part_sets, size=st.integers(1, 20))
def test_each_free_missing_part_is_requested_once_and_no_other(
    missing: set[int], claimed: set[int], size: int
) -> None:
    free = plan.unclaimed(runs_of(missing), claimed.__contains__)
    requests = list(plan.requests(free, size))
    parts = [part for request in requests for part in request]
    assert parts == sorted(missing - claimed)
    assert all(0 < len(request) <= size for request in requests)


@given(missing=part_sets, size=st.integers(1, 20))
def test_a_run_is_cut_only_at_multiples_of_the_request_size(missing: set[int], size: int) -> None:
    runs = runs_of(missing)
    ends_of_runs = {run.stop for run in runs}
    for request in plan.requests(runs, size):
        assert request.stop in ends_of_runs or request.stop % size == 0


def test_a_request_has_as_many_parts_as_fit_and_one_at_least() -> None:
    assert plan.parts_in(8 * 1024, 1024) == 8
    assert plan.parts_in(9 * 1024 - 1, 1024) == 8
    assert plan.parts_in(100, 1024) == 1
