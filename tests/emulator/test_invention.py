"""Invented objects: their bytes are their offsets, at any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.emulator.invention import Inventions, content


@given(st.integers(0, 2**60), st.integers(0, 100), st.integers(0, 100))
def test_content_is_the_same_however_it_is_cut(offset: int, first: int, second: int) -> None:
    whole = content(offset, first + second)
    assert whole == content(offset, first) + content(offset + first, second)


def test_the_bytes_at_a_multiple_of_eight_are_that_number() -> None:
    assert content(2**45, 8) == (2**45).to_bytes(8, "big")


def test_keys_are_sorted_and_open() -> None:
    inventions = Inventions(3, {b"giant": 48 << 40})
    assert list(inventions.keys) == sorted(inventions.keys)
    assert len(inventions.keys) == 4
    giant = inventions.open(b"giant")
    assert giant is not None
    assert giant.size == 48 << 40
    assert len(giant.read((48 << 40) - 3, 100)) == 3
    assert inventions.open(b"invented/0000003") is None


@pytest.mark.parametrize("key", [b"invented/0000000", b"giant"])
def test_facts_are_stable(key: bytes) -> None:
    first, second = (Inventions(1, {b"giant": 9}).open(key) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.facts == second.facts
