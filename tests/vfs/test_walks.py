"""Predictions of what is opened next, and when they end."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.vfs.walks import (
    BATCH,
    GAP,
    GROWTH,
    LEAST_OPENED,
    MOST_PASSED_BY,
    MOST_PREDICTED,
    Run,
)

COUNT = 500


def walked(indices: Iterable[int], count: int = COUNT) -> tuple[list[int], list[int]]:
    """What a run predicts and gives up while these are opened."""
    run = Run()
    predicted: list[int] = []
    given_up: list[int] = []
    for index in indices:
        given_up += run.visit(index)
        predicted += run.predict(count)
    return predicted, given_up


def test_nothing_is_predicted_before_the_third_neighbour() -> None:
    assert walked([7, 8]) == ([], [])
    predicted, _ = walked([7, 8, 9])
    assert predicted == list(range(10, 10 + GROWTH * LEAST_OPENED))


def test_a_walk_is_predicted_to_its_end_and_each_file_once() -> None:
    predicted, given_up = walked(range(COUNT))
    assert predicted == list(range(LEAST_OPENED, COUNT))
    assert given_up == []


def test_predictions_grow_to_a_limit_and_come_in_batches() -> None:
    run, sizes = Run(), []
    for index in range(COUNT):
        run.visit(index)
        sizes.append(len(run.predict(COUNT)))
        assert run.reach - index - 1 <= MOST_PREDICTED
    assert all(size == 0 or size >= BATCH for size in sizes[: COUNT - MOST_PREDICTED - 1])


def test_readers_side_by_side_make_one_run() -> None:
    jumbled = [i + (1, -1)[i % 2] for i in range(COUNT)]
    predicted, given_up = walked(jumbled)
    assert predicted == list(range(predicted[0], COUNT))
    assert predicted[0] <= LEAST_OPENED + GAP
    assert given_up == []


def test_a_reader_who_passes_by_predictions_gets_no_more_of_them() -> None:
    predicted, given_up = walked([0, 1, 2, 3, 3 + MOST_PASSED_BY + 1])
    assert predicted == list(range(3, 3 + GROWTH * LEAST_OPENED))
    assert given_up == [index for index in predicted if index > 3 + MOST_PASSED_BY + 1]


def test_a_reader_who_goes_elsewhere_gives_up_what_was_predicted() -> None:
    predicted, given_up = walked([0, 1, 2, 200])
    assert given_up == predicted


@given(st.lists(st.integers(0, 60), max_size=80))
def test_whatever_is_opened_predictions_lie_ahead_and_within_bounds(indices: list[int]) -> None:
    run = Run()
    for index in indices:
        run.visit(index)
        predicted = run.predict(61)
        assert all(run.position < each < 61 for each in predicted)
        assert len(predicted) <= MOST_PREDICTED
        assert run.passed_by < MOST_PASSED_BY


async def walked_through(world, names: Iterable[str]) -> list[str]:
    for name in names:
        world.tree._files.release(await world.open(name))
    return [key for keys in world.cache.predicted for key in keys]


@pytest.fixture
async def listed(world, autojump_clock: object):
    for number in range(40):
        world.bucket.put(f"f{number:02}", b"data")
    await world.names()
    return world


async def test_a_copy_in_the_order_of_names_is_predicted(listed) -> None:
    names = [f"f{number:02}" for number in range(40)]
    predicted = await walked_through(listed, names)
    assert set(predicted) >= set(names[3:])


async def test_a_copy_in_the_order_of_inode_numbers_is_predicted(listed) -> None:
    found = [(await listed.lookup(f"f{number:02}")) for number in range(40)]
    names = [each.name.decode() for each in sorted(found, key=lambda e: e.attributes.inode)]
    predicted = await walked_through(listed, names)
    assert set(predicted) >= set(names[4:])


def far_apart(by_name: list[str], by_inode: list[str]) -> list[str]:
    """Names of which none is near the one before it, in neither order."""
    chosen, left = [by_name[0]], by_name[1:]
    while far := [
        name
        for name in left
        if all(abs(o.index(name) - o.index(chosen[-1])) > GAP for o in (by_name, by_inode))
    ]:
        chosen.append(far[len(far) // 2])
        left.remove(chosen[-1])
    return chosen


async def test_files_opened_at_random_predict_nothing(listed) -> None:
    by_name = [f"f{number:02}" for number in range(40)]
    found = [await listed.lookup(name) for name in by_name]
    by_inode = [e.name.decode() for e in sorted(found, key=lambda e: e.attributes.inode)]
    names = far_apart(by_name, by_inode)
    assert len(names) > 10
    assert await walked_through(listed, names) == []


async def test_large_and_open_files_are_not_predicted(world, autojump_clock: object) -> None:
    for number in (5, 6):
        world.bucket.put(f"d/f{number}", b"x" * (2 << 20))
    for number in (0, 1, 2, 3, 4, 7, 8, 9):
        world.bucket.put(f"d/f{number}", b"data")
    await world.names((await world.lookup("d")).attributes.inode)
    handle = await world.open("d/f8")
    predicted = await walked_through(world, ["d/f0", "d/f1", "d/f2"])
    assert set(predicted) >= {"d/f3", "d/f4", "d/f7", "d/f9"}
    assert not {"d/f5", "d/f6", "d/f8"} & set(predicted)
    world.tree._files.release(handle)


async def test_what_is_cached_is_not_predicted_unless_it_is_small(
    world, autojump_clock: object
) -> None:
    """A question to the cache for many small ones costs less than one for each."""
    for number in range(12):
        world.bucket.put(f"f{number:02}", b"data" if number > 6 else b"x" * 100_000)
    for number, size in ((3, 100_000), (5, 100_000), (6, 100_000), (7, 4)):
        world.cache.of(f"f{number:02}").present_bytes = size
    await world.names()
    predicted = await walked_through(world, ["f00", "f01", "f02"])
    assert set(predicted) >= {f"f{number:02}" for number in (4, 7, 8, 9, 10, 11)}
    assert not {"f03", "f05", "f06"} & set(predicted)


async def test_a_directory_that_nobody_has_listed_predicts_nothing(
    world, autojump_clock: object
) -> None:
    for number in range(10):
        world.bucket.put(f"f{number}", b"data")
    assert await walked_through(world, [f"f{number}" for number in range(10)]) == []
