"""Parts drawn as text: every cell says the truth of all its parts."""

from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.cache.bitmap import PartBitmap
from ossfs_resume.control.part_map import CELLS, drawn


def test_one_cell_a_part_where_there_is_room() -> None:
    assert drawn(6, [range(1, 3), range(5, 6)]) == "#..##."
    assert drawn(6, [range(6)], fetching=[1, 2], queued=[2, 3]) == ".>>:.."
    assert drawn(0, []) == ""


@given(st.integers(1, 3000), st.data())
def test_a_cell_of_many_parts_is_full_only_if_all_are_here(count: int, data: st.DataObject) -> None:
    present = data.draw(st.sets(st.integers(0, count - 1), max_size=50))
    if data.draw(st.booleans()):
        present = set(range(count)) - present
    bitmap = PartBitmap(count)
    for part in present:
        bitmap.set(part)
    text = drawn(count, bitmap.missing(0, count))
    assert len(text) == min(count, CELLS)
    cells: dict[int, set[bool]] = {}
    for part in range(count):
        cells.setdefault(part * len(text) // count, set()).add(part in present)
    marks = {(True,): "#", (False,): ".", (False, True): "+"}
    assert text == "".join(marks[tuple(sorted(kinds))] for _, kinds in sorted(cells.items()))
