"""Requests cover exactly the missing parts that nobody fetches. The queue's order, and how many
requests a link affords.
"""

from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.fetch import scheduler
from ossfs_resume.fetch.scheduler import (
    Priority,
    Queue,
    concurrency,
    least_urgent,
    reserved_for_demand,
)

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
    free = scheduler.unclaimed(runs_of(missing), claimed.__contains__)
    requests = list(scheduler.requests(free, size))
    parts = [part for request in requests for part in request]
    assert parts == sorted(missing - claimed)
    assert all(0 < len(request) <= size for request in requests)


@given(missing=part_sets, size=st.integers(1, 20))
def test_a_run_is_cut_only_at_multiples_of_the_request_size(missing: set[int], size: int) -> None:
    runs = runs_of(missing)
    ends_of_runs = {run.stop for run in runs}
    for request in scheduler.requests(runs, size):
        assert request.stop in ends_of_runs or request.stop % size == 0


def test_a_request_has_as_many_parts_as_fit_and_one_at_least() -> None:
    assert scheduler.parts_in(8 * 1024, 1024) == 8
    assert scheduler.parts_in(9 * 1024 - 1, 1024) == 8
    assert scheduler.parts_in(100, 1024) == 1


KIB = 1024


def drain(queue: Queue[int], lowest: Priority = Priority.BACKGROUND) -> list[int]:
    items = []
    while (item := queue.pop(lowest)) is not None:
        items.append(item)
    return items


pushes = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 3), st.sampled_from(list(Priority))), max_size=60
)


@given(pushes)
def test_each_item_comes_out_once_by_its_latest_priority(
    moves: list[tuple[int, int, Priority]],
) -> None:
    queue: Queue[int] = Queue()
    latest: dict[int, Priority] = {}
    for item, owner, priority in moves:
        queue.push(item, owner, priority)
        latest[item] = priority
    assert len(queue) == len(latest)
    order = drain(queue)
    assert sorted(order) == sorted(latest)
    assert [latest[item] for item in order] == sorted(latest.values())
    assert len(queue) == 0


def test_owners_of_one_priority_take_turns() -> None:
    queue: Queue[int] = Queue()
    for item in (1, 2, 3):
        queue.push(item, "a", Priority.READ_AHEAD)
    queue.push(9, "b", Priority.READ_AHEAD)
    assert drain(queue) == [1, 9, 2, 3]


def test_a_discarded_item_does_not_come_out() -> None:
    queue: Queue[int] = Queue()
    queue.push(1, "a", Priority.DEMAND)
    queue.push(2, "a", Priority.DEMAND)
    queue.discard(1)
    assert drain(queue) == [2]


def test_less_urgent_items_stay_when_only_demand_is_served() -> None:
    queue: Queue[int] = Queue()
    queue.push(1, "a", Priority.BACKGROUND)
    queue.push(2, "a", Priority.DEMAND)
    assert drain(queue, Priority.DEMAND) == [2]
    assert drain(queue) == [1]


@given(
    rate=st.floats(0, 1e12), part=st.sampled_from([64 * KIB, 256 * KIB]), limit=st.integers(2, 64)
)
def test_unfinished_parts_stay_under_five_seconds_of_a_link(
    rate: float, part: int, limit: int
) -> None:
    count = concurrency(rate, part, limit)
    assert 2 <= count <= limit
    assert count == 2 or count * part <= rate * 5


def test_an_unknown_link_gets_a_few_requests_and_a_fast_one_all() -> None:
    assert concurrency(None, 256 * KIB, 32) == 6
    assert concurrency(None, 256 * KIB, 4) == 4
    assert concurrency(100e6, 256 * KIB, 32) == 32


@given(st.integers(2, 1000))
def test_some_requests_are_kept_for_demand_but_never_all(limit: int) -> None:
    assert 0 <= reserved_for_demand(limit) < limit


def test_what_is_kept_for_demand_is_there_even_if_the_link_turned_slow() -> None:
    # Twenty-four requests were started while the link afforded thirty-two; now it affords two.
    assert least_urgent(running=24, demanded=0, allowed=2, limit=32) is Priority.DEMAND
    assert least_urgent(running=25, demanded=1, allowed=2, limit=32) is None
    # An origin that bears no more than that is not asked for more.
    assert least_urgent(running=24, demanded=0, allowed=2, limit=2) is None
    assert least_urgent(running=1, demanded=0, allowed=1, limit=32) is None


def test_a_few_places_are_kept_for_demand() -> None:
    assert least_urgent(running=27, demanded=0, allowed=32, limit=32) is Priority.BACKGROUND
    assert least_urgent(running=28, demanded=0, allowed=32, limit=32) is Priority.DEMAND
    assert least_urgent(running=31, demanded=31, allowed=32, limit=32) is Priority.DEMAND
    assert least_urgent(running=32, demanded=0, allowed=32, limit=32) is None


@given(st.integers(0, 64), st.integers(0, 64), st.integers(1, 64), st.integers(1, 64))
def test_neither_the_limit_nor_the_share_of_the_less_urgent_is_passed(
    running: int, demanded: int, allowed: int, limit: int
) -> None:
    allowed = min(allowed, limit)
    lowest = least_urgent(running, min(demanded, running), allowed, limit)
    assert lowest is None or running < limit
    if lowest is Priority.BACKGROUND:
        assert running < allowed - reserved_for_demand(allowed)
