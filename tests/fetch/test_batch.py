"""A stream cut into parts loses nothing, whatever the chunks."""

from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.cache.geometry import Geometry
from ossfs_resume.fetch.batch import PartBatch

PART = 8


@given(size=st.integers(1, 100), data=st.data())
def test_parts_hold_exactly_their_bytes(size: int, data: st.DataObject) -> None:
    geometry = Geometry(size, PART)
    first = data.draw(st.integers(0, geometry.part_count - 1))
    stream = bytes(range(size))[geometry.span(first)[0] :]
    batch = PartBatch(geometry, first)
    got: dict[int, bytes] = {}
    while stream:
        length = data.draw(st.integers(1, len(stream)))
        batch.add(stream[:length])
        stream = stream[length:]
        if data.draw(st.booleans()):
            start, parts = batch.take()
            got |= {start + i: b"".join(chunks) for i, chunks in enumerate(parts)}
    start, parts = batch.take()
    got |= {start + i: b"".join(chunks) for i, chunks in enumerate(parts)}
    whole = bytes(range(size))
    assert got == {
        part: whole[slice(*geometry.span(part))] for part in range(first, geometry.part_count)
    }


def test_whole_bytes_counts_what_take_hands_over() -> None:
    batch = PartBatch(Geometry(20, PART), 0)
    batch.add(b"x" * 18)
    assert (len(batch), batch.whole_bytes) == (2, 16)
    batch.add(b"x" * 2)
    assert (len(batch), batch.whole_bytes) == (3, 20)
    batch.take()
    assert (len(batch), batch.whole_bytes, batch.first) == (0, 0, 3)
