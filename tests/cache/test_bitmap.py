"""PartBitmap against a set of integers."""

import time

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ossfs_resume.cache.bitmap import PartBitmap

SIZES = st.integers(0, 70)


def runs_of(numbers: set[int], first: int, stop: int) -> list[range]:
    runs: list[range] = []
    for number in range(first, stop):
        if number in numbers:
            if runs and runs[-1].stop == number:
                runs[-1] = range(runs[-1].start, number + 1)
            else:
                runs.append(range(number, number + 1))
    return runs


class BitmapMachine(RuleBasedStateMachine):
    @initialize(size=SIZES)
    def start(self, size: int) -> None:
        self.size = size
        self.bitmap = PartBitmap(size)
        self.model: set[int] = set()

    def run(self, data: st.DataObject) -> tuple[int, int]:
        first = data.draw(st.integers(0, self.size))
        return first, data.draw(st.integers(first, self.size))

    @rule(data=st.data())
    def set_run(self, data: st.DataObject) -> None:
        first, stop = self.run(data)
        self.bitmap.set_run(first, stop)
        self.model |= set(range(first, stop))

    @rule(data=st.data())
    def clear_run(self, data: st.DataObject) -> None:
        first, stop = self.run(data)
        self.bitmap.clear_run(first, stop)
        self.model -= set(range(first, stop))

    @rule(data=st.data())
    def queries_of_a_run_agree(self, data: st.DataObject) -> None:
        first, stop = self.run(data)
        everything = set(range(self.size))
        assert self.bitmap.present(first, stop) == runs_of(self.model, first, stop)
        assert self.bitmap.missing(first, stop) == runs_of(everything - self.model, first, stop)
        assert self.bitmap.has_all(first, stop) == set(range(first, stop)).issubset(self.model)

    @rule()
    def bytes_go_round(self) -> None:
        packed = self.bitmap.to_bytes()
        assert len(packed) == -(-self.size // 8)
        assert int.from_bytes(packed, "little") == sum(1 << part for part in self.model)
        self.bitmap = PartBitmap.from_bytes(self.size, packed)

    @invariant()
    def members_and_count_agree(self) -> None:
        assert self.bitmap.count == len(self.model)
        assert {part for part in range(self.size) if self.bitmap.test(part)} == self.model


TestBitmap = BitmapMachine.TestCase


@pytest.mark.parametrize(("first", "stop"), [(-1, 1), (0, 4), (2, 1)])
def test_runs_outside_are_refused(first: int, stop: int) -> None:
    bitmap = PartBitmap(3)
    for method in (bitmap.set_run, bitmap.clear_run, bitmap.missing, bitmap.has_all):
        with pytest.raises(IndexError):
            method(first, stop)
    with pytest.raises(IndexError):
        bitmap.test(3)
    assert bitmap == PartBitmap(3)


def test_the_largest_object_is_handled_in_milliseconds() -> None:
    size = 1 << 20
    bitmap = PartBitmap(size)
    began = time.process_time()
    for part in range(0, size, 1024):
        bitmap.set_run(part, part + 512)
    assert len(bitmap.missing(0, size)) == 1024
    assert PartBitmap.from_bytes(size, bitmap.to_bytes()) == bitmap
    assert time.process_time() - began < 0.5
