"""Offsets and parts."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ossfs_resume.cache.geometry import MAX_PARTS, Geometry, fitting_part_size

part_sizes = st.integers(0, 30).map(lambda exponent: 1 << exponent)
geometries = st.builds(Geometry.fitting, st.integers(0, 1 << 46), part_sizes)


@given(geometries)
def test_parts_cover_the_object_without_overlap(geometry: Geometry) -> None:
    count = geometry.part_count
    for part in {0, count // 2, count - 1} if count else ():
        start, stop = geometry.span(part)
        assert start == part * geometry.part_size
        assert stop - start == (
            geometry.last_part_bytes if part == count - 1 else geometry.part_size
        )
    assert geometry.bytes_of(0, count) == (0, geometry.size)


@given(geometries, st.integers(0, 1 << 47), st.integers(0, 1 << 24))
def test_touched_parts_are_exactly_those_that_hold_a_byte_of_the_range(
    geometry: Geometry, offset: int, length: int
) -> None:
    parts = geometry.parts(offset, length)
    stop = min(offset + length, geometry.size)
    if offset >= stop:
        assert not parts
        return
    assert parts.start == offset // geometry.part_size
    assert parts[-1] == (stop - 1) // geometry.part_size


@given(st.integers(0, 1 << 50), part_sizes)
@example(MAX_PARTS, 1)
@example(MAX_PARTS + 1, 1)
def test_part_size_is_doubled_no_more_than_needed(size: int, preferred: int) -> None:
    fitting = fitting_part_size(size, preferred)
    assert -(-size // fitting) <= MAX_PARTS
    assert fitting == preferred or -(-size // (fitting // 2)) > MAX_PARTS


@given(st.integers(1, 1000), st.integers(0, 5).map(lambda e: 1 << e), st.data())
def test_bytes_in_a_set_of_parts(size: int, part_size: int, data: st.DataObject) -> None:
    geometry = Geometry(size, part_size)
    chosen = data.draw(st.sets(st.integers(0, geometry.part_count - 1)))
    total = sum(stop - start for start, stop in map(geometry.span, chosen))
    with_last = geometry.part_count - 1 in chosen
    assert geometry.bytes_in(len(chosen), with_last=with_last) == total


@pytest.mark.parametrize(("size", "part_size"), [(-1, 4), (10, 3), (10, 0), (MAX_PARTS + 1, 1)])
def test_impossible_geometries_are_refused(size: int, part_size: int) -> None:
    with pytest.raises(ValueError, match="bytes in parts of"):
        Geometry(size, part_size)


@given(geometries)
def test_parts_outside_the_object_are_refused(geometry: Geometry) -> None:
    assume(geometry.size)
    with pytest.raises(IndexError):
        geometry.span(geometry.part_count)
    with pytest.raises(IndexError):
        geometry.span(-1)
