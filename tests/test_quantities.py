"""Sizes and durations as people write them."""

import pytest

from ossfs_resume.errors import SettingsError
from ossfs_resume.quantities import format_size, parse_seconds, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("64KiB", 65536),
        ("64k", 65536),
        ("8M", 8 << 20),
        ("8MB", 8 << 20),
        ("1GiB", 1 << 30),
        ("1.5 GiB", 3 << 29),
        ("2T", 2 << 40),
    ],
)
def test_sizes_are_binary_whatever_the_spelling(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1", "1X", "1 2", "KiB", "8MiBit", "1e3"])
def test_what_is_no_size_is_refused_by_name(text: str) -> None:
    with pytest.raises(SettingsError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("0.5", 0.5), ("90s", 90), ("5m", 300)])
def test_seconds(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "1d", "soon", "inf", "nan"])
def test_what_is_no_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(SettingsError, match="is not a time"):
        parse_seconds(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1024, "1.0 KiB"), (1 << 30, "1.0 GiB"), (500 << 20, "500 MiB")],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert format_size(size) == text
