"""CRC-64/XZ: published vectors and the algebra of combining."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.cache.crc64 import checksum, combine, combine_parts


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0x995DC9BBDF1939FA),
        (b"12345", 6748440630437108969),
        (b"67890", 6285347597771850461),
        (b"1234567890", 12811388247244714686),
        (b"hello world", 5981764153023615706),
        (b"\0", 2282658103124508505),
        (bytes(1 << 20), 6947770692288575170),
        (b"\xff" * 8, 18446744073709551615),
    ],
)
def test_known_checksums(data: bytes, expected: int) -> None:
    assert checksum([data]) == expected
    assert checksum([data[:3], b"", data[3:]]) == expected


@given(st.binary(), st.binary())
def test_combining_equals_the_checksum_of_the_whole(first: bytes, second: bytes) -> None:
    combined = combine(checksum([first]), checksum([second]), len(second))
    assert combined == checksum([first + second])


@given(st.binary(), st.integers(1, 40))
def test_combining_parts_equals_the_checksum_of_the_whole(data: bytes, part_size: int) -> None:
    parts = [data[start : start + part_size] for start in range(0, len(data), part_size)]
    last = len(parts[-1]) if parts else 0
    assert combine_parts([checksum([p]) for p in parts], part_size, last) == checksum([data])


def test_combining_over_terabytes_agrees_with_combining_in_steps() -> None:
    zeros = checksum([bytes(1 << 20)])
    doubled, length = zeros, 1 << 20
    while length < 1 << 40:
        doubled, length = combine(doubled, doubled, length), length * 2
    assert combine_parts([zeros] * (1 << 20), 1 << 20, 1 << 20) == doubled
