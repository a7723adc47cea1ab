"""OSS's reading of Range: its documented table over the wire, and what holds for any range."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.emulator.ranges import Unsatisfiable, resolve
from support.emulator import EmulatorProcess

CONTENT = bytes(i % 251 for i in range(1000))
WHOLE = (200, 0, 1000)

ROWS = [
    # Range, without the extra header, with x-oss-range-behavior: standard
    ("bytes=0-499", (206, 0, 500), (206, 0, 500)),
    ("bytes=0-0", (206, 0, 1), (206, 0, 1)),
    ("bytes=0-999", (206, 0, 1000), (206, 0, 1000)),
    ("bytes=500-", (206, 500, 1000), (206, 500, 1000)),
    ("bytes=-100", (206, 900, 1000), (206, 900, 1000)),
    ("bytes=-1000", (206, 0, 1000), (206, 0, 1000)),
    ("bytes=500-2000", WHOLE, (206, 500, 1000)),
    ("bytes=0-1000", WHOLE, (206, 0, 1000)),
    ("bytes=1000-", WHOLE, (416, 0, 0)),
    ("bytes=1000-2000", WHOLE, (416, 0, 0)),
    ("bytes=-2000", WHOLE, (206, 0, 1000)),
    ("bytes=-0", WHOLE, (416, 0, 0)),
    ("byte=0-4", WHOLE, WHOLE),
    ("bytes=4-0", WHOLE, WHOLE),
    ("bytes=a-b", WHOLE, WHOLE),
    ("bytes=-", WHOLE, WHOLE),
    ("bytes=0-9,20-29", (206, 0, 10), (206, 0, 10)),
]
CASES = [(row[0], standard, row[1 + standard]) for row in ROWS for standard in (False, True)]


@pytest.mark.parametrize(("header", "standard", "expected"), CASES)
def test_a_row_of_the_range_table(
    emulator: EmulatorProcess, header: str, standard: bool, expected: tuple[int, int, int]
) -> None:
    """A 1000-byte object answers each documented Range with the documented status and bytes."""
    (emulator.directory / "o").write_bytes(CONTENT)
    headers = {"Range": header} | ({"x-oss-range-behavior": "standard"} if standard else {})
    answer = emulator.request("GET", emulator.target("o"), headers=headers)
    status, start, stop = expected
    assert answer.status == status
    if status == 416:
        assert b"<Code>InvalidRange</Code>" in answer.body
        return
    assert answer.body == CONTENT[start:stop]
    shown = f"bytes {start}-{stop - 1}/1000" if status == 206 else None
    assert answer.headers.get("content-range") == shown


def test_the_checksum_of_a_part_is_that_of_the_whole(emulator: EmulatorProcess) -> None:
    """x-oss-hash-crc64ecma describes the object, whatever the range."""
    (emulator.directory / "o").write_bytes(b"123456789")
    part = emulator.request("GET", emulator.target("o"), headers={"Range": "bytes=2-4"})
    assert part.body == b"345"
    assert part.headers["x-oss-hash-crc64ecma"] == "11051210869376104954"


@pytest.mark.parametrize(("standard", "status"), [("", 200), ("standard", 416)])
def test_an_empty_object_has_no_range(
    emulator: EmulatorProcess, standard: str, status: int
) -> None:
    """With ``standard`` even bytes=0- of an empty object is refused."""
    (emulator.directory / "empty").write_bytes(b"")
    headers = {"Range": "bytes=0-", "x-oss-range-behavior": standard}
    assert emulator.request("GET", emulator.target("empty"), headers=headers).status == status


def test_a_folder_marker_ignores_ranges(emulator: EmulatorProcess) -> None:
    """An empty key that ends in a slash answers 200 to any range."""
    emulator.request("PUT", emulator.target("dir/"))
    headers = {"Range": "bytes=0-", "x-oss-range-behavior": "standard"}
    assert emulator.request("GET", emulator.target("dir/"), headers=headers).status == 200


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60))
def test_standard_is_the_intersection_with_the_object(size: int, first: int, last: int) -> None:
    """A well-formed range means, with ``standard``, exactly the bytes that exist of it."""
    wanted = [i for i in range(first, last + 1) if i < size]
    try:
        span = resolve(f"bytes={first}-{last}", size, standard=True)
    except Unsatisfiable:
        assert not wanted
        assert first <= last
    else:
        assert list(span or []) == wanted


@given(st.text(max_size=20), st.integers(0, 50), st.booleans())
def test_any_header_gives_a_range_inside_the_object(text: str, size: int, standard: bool) -> None:
    """No header, however odd, leads outside of the object."""
    for header in (text, f"bytes={text}"):
        try:
            span = resolve(header, size, standard=standard)
        except Unsatisfiable:
            assert standard
        else:
            assert span is None or 0 <= span.start < span.stop <= size
