"""One page of a listing, cut from all keys in byte order.

Keys and common prefixes are interleaved in key order and count alike towards the page's limit. A
page ends with a *position*, the last key or common prefix returned; the next page begins behind
it, and behind everything below it if it is a common prefix.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """Keys and common prefixes of one answer; ``last`` is where the next one continues."""

    keys: tuple[bytes, ...]
    prefixes: tuple[bytes, ...]
    last: bytes
    is_truncated: bool


def cut_page(
    keys: Sequence[bytes],
    *,
    prefix: bytes = b"",
    delimiter: bytes = b"",
    after: bytes = b"",
    limit: int,
) -> Page:
    """Return at most ``limit`` names behind ``after`` from ``keys``, which are sorted and unique.

    Costs O(limit * log(len(keys))): what lies below a common prefix is skipped, not walked.
    """
    found: list[bytes] = []
    prefixes: list[bytes] = []
    last = after
    position = max(bisect_left(keys, prefix), _behind(keys, after, prefix, delimiter))
    while position < len(keys) and keys[position].startswith(prefix):
        if len(found) + len(prefixes) == limit:
            return Page(tuple(found), tuple(prefixes), last, is_truncated=True)
        group = common_prefix(keys[position], prefix, delimiter)
        if group is None:
            last = keys[position]
            found.append(last)
            position += 1
        else:
            last = group
            prefixes.append(group)
            position = _behind_group(keys, group)
    return Page(tuple(found), tuple(prefixes), last, is_truncated=False)


def common_prefix(key: bytes, prefix: bytes, delimiter: bytes) -> bytes | None:
    """Return what ``key`` collapses into: up to the first delimiter after ``prefix``, or None."""
    if not delimiter:
        return None
    end = key.find(delimiter, len(prefix))
    return None if end < 0 else key[: end + len(delimiter)]


def _behind(keys: Sequence[bytes], after: bytes, prefix: bytes, delimiter: bytes) -> int:
    if after.startswith(prefix) and common_prefix(after, prefix, delimiter) == after:
        return _behind_group(keys, after)
    return bisect_right(keys, after) if after else 0


def _behind_group(keys: Sequence[bytes], group: bytes) -> int:
    return bisect_right(keys, group, key=lambda key: key[: len(group)])
