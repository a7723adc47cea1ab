"""OSS's own reading of the Range header.

Unlike RFC 9110, OSS answers 200 with the entire object to a range that is not wholly inside it,
unless the request says ``x-oss-range-behavior: standard`` (OSS documentation, GetObject).
"""

import re

_RANGE = re.compile(r"bytes=(?:(\d+)-(\d*)|-(\d+))")


class Unsatisfiable(Exception):
    """The range lies outside of the object: 416 InvalidRange."""


def resolve(header: str | None, size: int, *, standard: bool) -> range | None:
    """Return the bytes to answer with 206, or None for the entire object with 200.

    Of several ranges the first counts. ``standard`` clips at the end of the object and raises
    `Unsatisfiable` for a range that begins behind it; without it both mean the entire object.
    """
    span = _parse(header or "", size)
    if span is None:
        return None
    start, stop = span
    if 0 <= start < stop <= size:
        return range(start, stop)
    if not standard:
        return None
    if start >= size:
        raise Unsatisfiable
    return range(max(start, 0), min(stop, size))


def _parse(header: str, size: int) -> tuple[int, int] | None:
    """Return [start, stop), possibly outside of the object; None if malformed."""
    match = _RANGE.fullmatch(header.partition(",")[0].strip())
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        return size - int(suffix), size
    start = int(first)
    stop = int(last) + 1 if last else max(size, start)
    return None if last and stop <= start else (start, stop)
