"""Sizes and durations as people write them."""

import re

from ossfs_resume.errors import SettingsError

_DIGITS = re.compile(r"[0-9]{1,20}")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
_LARGEST = 1 << 60
_LONGEST_S = 30 * 365 * 86_400
_SIZE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*([KMGTP]?)(?:i?B)?", re.IGNORECASE)


def parse_digits(text: str) -> int:
    """A number of up to 20 digits, which 64 bits need, and nothing else. Raises ValueError.

    ``int`` takes ``1_000``, ``+5``, blanks and the digits of other scripts as well, and stops at
    4300 digits with an error of its own.
    """
    if not _DIGITS.fullmatch(text):
        raise ValueError(f"not a number: {text[:32]!r}")
    return int(text)


def parse_size(text: str) -> int:
    """Bytes of ``64KiB``, ``8M``, ``1.5GiB`` or ``4096``; K M G T P are binary.

    Raises SettingsError.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise SettingsError(f"{text!r} is not a size; write it like 64KiB, 8M or 1GiB")
    size = int(float(match[1]) * _UNITS[match[2].upper()])
    if size > _LARGEST:
        raise SettingsError(f"{text!r} is more than any disk holds")
    return size


def parse_seconds(text: str) -> float:
    """Seconds of ``60``, ``0.5``, ``90s``, ``5m``, ``2h``. Raises SettingsError."""
    match = re.fullmatch(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*([smh]?)", text.strip())
    if match is None:
        raise SettingsError(f"{text!r} is not a time; write it in seconds, or like 90s, 5m, 2h")
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]
    if seconds > _LONGEST_S:
        raise SettingsError(f"{text!r} is more than 30 years")
    return seconds


def format_size(size: float) -> str:
    """``1.5 GiB``: three significant digits at most, for people."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1000 or unit == "TiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
