"""From the text of an option to its value; every error says what would have been right.

Which option it was and where its text came from is added by who knows it (`config`).
"""

import grp
import os
import pwd
import re
from collections.abc import Callable
from pathlib import Path

from ossfs_resume.errors import SettingsError
from ossfs_resume.quantities import parse_digits, parse_size

PART_SIZE_SMALLEST = 64 * 1024
REQUEST_SIZE_LARGEST = 1 << 30

NO_WORKING_DIRECTORY = "the working directory has been removed; write a path that begins with /"

_OCTAL = re.compile(r"(0o)?[0-7]{1,6}")
_PERCENTAGE = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,20})?)%")


def choice(*allowed: str) -> Callable[[str], str]:
    """One of these words."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise SettingsError(f"{text!r} is not one of {', '.join(allowed)}")
        return text

    return parse


def integer(lowest: int, highest: int) -> Callable[[str], int]:
    """A whole number in these bounds."""

    def parse(text: str) -> int:
        try:
            value = parse_digits(text)
        except ValueError:
            raise SettingsError(f"{text!r} is not a whole number") from None
        if not lowest <= value <= highest:
            raise SettingsError(f"{text} is not between {lowest} and {highest}")
        return value

    return parse


def permissions(text: str) -> int:
    """Permission bits as chmod takes them."""
    if not _OCTAL.fullmatch(text):
        raise SettingsError(f"{text!r} is not an octal number such as 022")
    value = int(text, 8)
    if value > 0o777:
        raise SettingsError(f"{text} is not between 0 and 777")
    return value


def _identity(kind: str, find: Callable[[str], int]) -> Callable[[str], int]:
    number = integer(0, 2**32 - 2)  # the last one means "leave it alone" to the kernel

    def parse(text: str) -> int:
        if text.isdigit():
            return number(text)
        try:
            return find(text)
        except (KeyError, ValueError):
            raise SettingsError(f"there is no {kind} {text!r}") from None

    return parse


user = _identity("user", lambda name: pwd.getpwnam(name).pw_uid)
"""A user by number or by name."""

group = _identity("group", lambda name: grp.getgrnam(name).gr_gid)
"""A group by number or by name."""


def part_size(text: str) -> int:
    """A power of two."""
    size = request_size(text)
    if size & (size - 1):
        raise SettingsError(f"{text} is not a power of two of at least 64KiB")
    return size


def request_size(text: str) -> int:
    """A size of one part at least, and of what fits into memory."""
    size = parse_size(text)
    if not PART_SIZE_SMALLEST <= size <= REQUEST_SIZE_LARGEST:
        raise SettingsError(f"{text} is not between 64KiB and 1GiB")
    return size


def disk_space(text: str) -> int:
    """Bytes of a disk. A few of them are never what somebody means who gives no unit."""
    size = parse_size(text)
    if 0 < size < 1 << 20 and text.strip().isdigit():
        raise SettingsError(f"{size} bytes? Write {size}GiB, or whatever unit is meant")
    return size


def free_space(text: str) -> int | float:
    """Bytes as a whole number, a percentage as a fraction from 0 to 1."""
    if match := _PERCENTAGE.fullmatch(text.strip()):
        return float(match[1]) / 100
    if "%" in text:
        raise SettingsError(f"{text!r} is not a percentage from 0% to below 100%")
    size = parse_size(text)
    if 0 < size < 1 << 20 and text.strip().isdigit():
        raise SettingsError(f"{size} bytes? Write {size}GiB or {size}%")
    return size


def path(text: str) -> Path:
    """Absolute: a mount in the background leaves the directory that it was started in."""
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        raise SettingsError(f"{text}: no home directory is known for that")
    try:
        return Path(os.path.abspath(expanded))
    except FileNotFoundError:
        raise SettingsError(f"{text}: {NO_WORKING_DIRECTORY}") from None


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
