"""Who goes: as few as free what is needed, in order, never a pinned or used one."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.cache.eviction import (
    DEFAULT_FREE,
    Candidate,
    Limits,
    Need,
    Rank,
    Reserve,
    Usage,
    capacity,
    early,
    excess,
    shortage,
    victims,
)

GIB = 1 << 30

candidates = st.lists(
    st.builds(
        Candidate,
        row_id=st.integers(1, 10**6),
        rank=st.sampled_from(Rank),
        last_used=st.integers(0, 5),
        allocated=st.integers(1, 100),
        is_pinned=st.booleans(),
        is_in_use=st.booleans(),
    ),
    unique_by=lambda one: one.row_id,
)
usages = st.builds(
    Usage,
    allocated=st.integers(0, 1000),
    disk_bytes=st.integers(1000, 3000),
    free_bytes=st.integers(0, 1000),
    disk_files=st.sampled_from([0, 1000]),
    free_files=st.integers(0, 1000),
)
limits = st.builds(
    Limits,
    size=st.none() | st.integers(0, 1000),
    free=st.integers(0, 1000) | st.builds(Reserve, st.floats(0, 0.9), st.none() | st.just(50)),
    free_files=st.builds(Reserve, st.floats(0, 0.9)),
)


def order(one: Candidate) -> tuple[int, int, int]:
    return one.rank, one.last_used, one.row_id


@given(candidates, st.builds(Need, st.integers(0, 500), st.integers(0, 10)))
def test_victims_are_the_shortest_prefix_that_frees_enough(
    candidates: list[Candidate], need: Need
) -> None:
    chosen = victims(candidates, need)
    may_go = sorted((c for c in candidates if not c.is_pinned and not c.is_in_use), key=order)
    assert chosen == may_go[: len(chosen)]

    def is_enough(some: list[Candidate]) -> bool:
        return not need.less(sum(c.allocated for c in some), len(some))

    assert is_enough(chosen) or chosen == may_go
    assert not chosen or not is_enough(chosen[:-1])


@given(usages, limits)
def test_what_is_removed_brings_usage_within_the_limits(usage: Usage, limits: Limits) -> None:
    need = excess(usage, limits)
    gone = min(need.size, usage.allocated)
    after = Usage(
        usage.allocated - gone,
        usage.disk_bytes,
        usage.free_bytes + gone,
        usage.disk_files,
        usage.free_files + need.files,
    )
    left = excess(after, limits)
    assert left.files == 0
    assert left.size == 0 or after.allocated == 0
    assert after.allocated <= capacity(after, limits) or after.allocated == 0
    assert capacity(usage, limits) >= 0


@given(usages, limits, st.integers(0, 500), st.integers(0, 500))
def test_what_is_removed_for_a_writer_lets_him_in(
    usage: Usage, limits: Limits, headroom: int, size: int
) -> None:
    need = shortage(usage, limits, headroom, size)
    fits = limits.size is None or usage.allocated + size <= limits.size
    assert bool(need) == (not fits or usage.free_bytes - size < headroom)
    after = replace(
        usage, allocated=usage.allocated - need.size, free_bytes=usage.free_bytes + need.size
    )
    assert not shortage(after, limits, headroom, size)


def test_the_background_begins_before_writers_must_wait() -> None:
    assert early(Limits(1600, 5)) == Limits(1500, 5)
    assert early(Limits(None, 5)) == Limits(None, 5)


def test_superseded_then_prefetched_then_read_then_by_time() -> None:
    old_read = Candidate(1, Rank.READ, 1, 10)
    new_prefetch = Candidate(2, Rank.PREFETCHED, 9, 10)
    superseded = Candidate(3, Rank.SUPERSEDED, 10, 10)
    new_read = Candidate(4, Rank.READ, 8, 10)
    everything = [new_read, old_read, new_prefetch, superseded]
    assert victims(everything, Need(40, 0)) == [superseded, new_prefetch, old_read, new_read]
    assert victims(everything, Need(11, 0)) == [superseded, new_prefetch]


def test_nothing_goes_while_the_limits_hold() -> None:
    usage = Usage(100, 1000, 500, 0, 0)
    assert not excess(usage, Limits(100, 500))
    assert excess(usage, Limits(99, 500)).size > 0
    assert excess(usage, Limits(None, 501)).size > 0
    assert not excess(usage, Limits())


def test_the_default_keeps_a_tenth_or_ten_gibibytes_free() -> None:
    assert DEFAULT_FREE.of(50 * GIB) == 5 * GIB
    assert DEFAULT_FREE.of(1000 * GIB) == 10 * GIB


def test_a_lack_of_files_counts_like_a_lack_of_bytes() -> None:
    need = excess(Usage(100, 1000, 900, 1000, 50), Limits(None, 0, Reserve(0.1)))
    assert need.size <= 0
    assert need.files >= 50
