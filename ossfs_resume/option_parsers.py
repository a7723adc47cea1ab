"""From the text of an option to its value; every error says what would have been right.

Which option it was and where its text came from is added by who knows it (`config`).
"""

import os
from collections.abc import Callable
from pathlib import Path

from ossfs_resume.errors import SettingsError
from ossfs_resume.quantities import parse_size

PART_SIZE_SMALLEST = 64 * 1024


def choice(*allowed: str) -> Callable[[str], str]:
    """One of these words."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise SettingsError(f"{text!r} is not one of {', '.join(allowed)}")
        return text

    return parse


def integer(lowest: int, highest: int, base: int = 10) -> Callable[[str], int]:
    """A whole number in these bounds."""

    def parse(text: str) -> int:
        try:
            value = int(text, base)
        except ValueError:
            raise SettingsError(f"{text!r} is not a whole number") from None
        if not lowest <= value <= highest:
            raise SettingsError(
                f"{text} is not between {lowest:o} and {highest:o}"
                if base == 8
                else f"{text} is not between {lowest} and {highest}"
            )
        return value

    return parse


def part_size(text: str) -> int:
    """A power of two."""
    size = parse_size(text)
    if size < PART_SIZE_SMALLEST or size & (size - 1):
        raise SettingsError(f"{text} is not a power of two of at least 64KiB")
    return size


def free_space(text: str) -> int | float:
    """Bytes as a whole number, a percentage as a fraction from 0 to 1."""
    number, percent, rest = text.strip().partition("%")
    if not percent:
        return parse_size(text)
    try:
        fraction = float(number) / 100
    except ValueError:
        raise SettingsError(f"{text!r} is neither a size nor a percentage") from None
    if rest or not 0 <= fraction < 1:
        raise SettingsError(f"{text!r} is not a percentage from 0% to below 100%")
    return fraction


def request_size(text: str) -> int:
    """A size of one part at least."""
    size = parse_size(text)
    if size < PART_SIZE_SMALLEST:
        raise SettingsError(f"{text} is less than 64KiB")
    return size


def path(text: str) -> Path:
    """Absolute: a mount in the background leaves the directory that it was started in."""
    return Path(os.path.abspath(os.path.expanduser(text)))


def rate(text: str) -> float:
    """Bytes a second, with or without ``/s``."""
    return float(parse_size(text.removesuffix("/s")))


def switch(text: str) -> bool:
    """On or off; the name alone means on."""
    if text.lower() in ("", "1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise SettingsError(f"{text!r} is neither true nor false")
