"""Sequential readers earn a window, random ones cost their own parts only."""

from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.fetch.readahead import (
    KIB,
    MIB,
    NEAR_BYTES,
    AccessPattern,
    is_careful,
    parts_between,
    request_bytes,
    target,
    window,
)

LIMIT = 128 * MIB


def test_a_reader_from_the_first_byte_on_reaches_the_limit_within_32_mib() -> None:
    pattern = AccessPattern()
    for offset in range(0, 32 * MIB, 128 * KIB):
        run_bytes = pattern.advance(offset, 128 * KIB)
    assert window(run_bytes, LIMIT) == LIMIT


def test_requests_that_overtake_each_other_are_one_run() -> None:
    pattern = AccessPattern()
    for offset in (0, 256 * KIB, 128 * KIB, 512 * KIB, 384 * KIB):
        run_bytes = pattern.advance(offset, 128 * KIB)
    assert run_bytes == 640 * KIB


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30, unique=True))
def test_reads_far_apart_never_get_a_window(places: list[int]) -> None:
    pattern = AccessPattern()
    stride = NEAR_BYTES + 2 * MIB
    for place in places:
        run_bytes = pattern.advance((place + 1) * stride + MIB, 4 * KIB)
        assert run_bytes == 0


def test_a_random_read_forgets_what_was_planned() -> None:
    pattern = AccessPattern(planned=5)
    pattern.advance(900 * MIB, 4 * KIB)
    assert pattern.planned == 0


@given(st.integers(0, 1 << 40))
def test_request_size_is_a_power_of_two_from_one_mebibyte_to_the_limit(size: int) -> None:
    step = request_bytes(window(size, LIMIT), 8 * MIB)
    assert MIB <= step <= 8 * MIB
    assert step & (step - 1) == 0


@given(
    stop=st.integers(0, 1 << 40),
    run=st.integers(0, 1 << 30),
    size=st.integers(0, 1 << 40),
)
def test_target_covers_the_window_within_the_object(stop: int, run: int, size: int) -> None:
    ahead = window(run, LIMIT)
    step = request_bytes(ahead, 8 * MIB)
    reached = target(stop, ahead, step, size)
    assert min(stop + ahead, size) <= reached <= min(stop + ahead + step, size)
    assert ahead == 0 or reached % step == 0 or reached == size
    careful = target(stop, ahead, step, size, round_up=False)
    assert min(stop, size) <= careful <= min(stop + ahead, size)


@given(st.integers(1, 30 * MIB), st.sampled_from([4 * KIB, 128 * KIB, 512 * KIB, MIB]))
def test_up_to_ten_megabytes_no_more_than_twice_of_what_was_read_is_fetched(
    read_bytes: int, kernel_bytes: int
) -> None:
    """A reader of whom the kernel is two windows ahead, which are its own reads to us."""
    pattern, fetched, offset = AccessPattern(), 0, 0
    while offset < read_bytes + min(2 * kernel_bytes, MIB):
        run_bytes = pattern.advance(offset, kernel_bytes)
        offset += kernel_bytes
        ahead = window(run_bytes, LIMIT)
        step = request_bytes(ahead, 4 * MIB)
        round_up = not is_careful(run_bytes)
        fetched = max(fetched, target(offset, ahead, step, 1 << 40, round_up=round_up))
    if MIB <= read_bytes <= 10_000_000:
        assert fetched <= 2 * read_bytes + 2 * kernel_bytes
    assert fetched >= read_bytes


def test_a_sequential_reader_causes_few_large_steps_of_the_target() -> None:
    pattern, targets = AccessPattern(), set()
    for offset in range(0, 256 * MIB, 128 * KIB):
        ahead = window(pattern.advance(offset, 128 * KIB), LIMIT)
        step = request_bytes(ahead, 8 * MIB)
        targets.add(target(offset + 128 * KIB, ahead, step, 1 << 40))
    assert len(targets) < 80


def test_what_was_planned_before_is_not_asked_for_again() -> None:
    assert parts_between(planned=0, target=8 * KIB, first=0, part_size=KIB) == range(8)
    assert parts_between(planned=8 * KIB, target=12 * KIB, first=2, part_size=KIB) == range(8, 12)
    assert parts_between(planned=0, target=12 * KIB, first=5, part_size=KIB) == range(5, 12)
    # The last part of an object may be short.
    assert parts_between(planned=0, target=8 * KIB + 1, first=8, part_size=KIB) == range(8, 9)
