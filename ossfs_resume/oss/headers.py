"""What the headers of an answer say of an object, as values.

Whatever lacks the essential, or cannot be, is an error, never data: a captive portal answers 200
with headers of its own. `listing` reads the other kind of description, `range_answer` holds the
headers of a range against what was asked for.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from ossfs_resume.errors import BadAnswer
from ossfs_resume.oss.encoding import percent_decode
from ossfs_resume.oss.models import ObjectMeta, Symlink
from ossfs_resume.quantities import parse_digits

Headers = Mapping[str, str]
"""Response headers by lower-case name."""

_HTTP_DATE = re.compile(
    r"[A-Za-z]{3}, [0-9]{1,2} [A-Za-z]{3} [0-9]{4} [0-9:]{8} ([A-Z]{2,4}|[+-][0-9]{4})"
)

MAX_ERROR_BYTES = 64 << 10

MAX_OBJECT_BYTES = 1 << 50
"""OSS stores 48.8 TB at most; file systems and catalogues count in 63 bits."""

LATEST_S = (1 << 63) // 10**9
"""File systems count nanoseconds in 64 bits, up to the year 2262; objects begin in 1970."""


def parse_meta(key: str, headers: Headers) -> ObjectMeta:
    """What the headers of a HEAD say of ``key``. Raises BadAnswer if the essential is missing."""
    try:
        size, etag = possible_size(headers["content-length"]), unquoted(headers["etag"])
        modified = parse_http_date(headers["last-modified"])
    except (KeyError, ValueError) as error:
        raise BadAnswer(f"the metadata of {key!r} is incomplete: {error!r}") from error
    return ObjectMeta(
        key=key,
        size=size,
        etag=etag,
        modified=modified,
        crc64=parse_crc64(headers),
        version_id=parse_version_id(headers),
        object_type=headers.get("x-oss-object-type", ""),
        storage_class=headers.get("x-oss-storage-class", ""),
    )


def parse_symlink(headers: Headers) -> Symlink:
    """The answer of GetSymlink. Raises BadAnswer if the essential is missing."""
    try:
        target = percent_decode(headers["x-oss-symlink-target"])
        modified = parse_http_date(headers["last-modified"])
        return Symlink(target, unquoted(headers["etag"]), modified)
    except (KeyError, ValueError) as error:
        raise BadAnswer(f"the description of a symlink is incomplete: {error!r}") from error


def parse_http_date(text: str) -> int:
    """Unix seconds of an RFC 1123 date. Raises ValueError."""
    if not _HTTP_DATE.fullmatch(text):  # the parser takes numbers as ``int`` does
        raise ValueError(f"not a date: {text[:40]!r}")
    return possible_time(parsedate_to_datetime(text))


def parse_crc64(headers: Headers) -> int | None:
    """CRC-64 of the whole object, also on a range; None if absent. Raises BadAnswer.

    Of a symbolic link it is the link's, while length and content are the target's.
    """
    text = headers.get("x-oss-hash-crc64ecma", "")
    if not text or headers.get("x-oss-object-type", "").lower() == "symlink":
        return None
    try:
        crc64 = parse_digits(text)
    except ValueError:
        crc64 = 1 << 64
    if crc64 >> 64:
        raise BadAnswer(f"not a CRC-64: {text[:32]!r}")
    return crc64


def parse_version_id(headers: Headers) -> str:
    """The version of an object in a bucket that keeps several; empty if told of none.

    OSS's documentation spells the name in both ways.
    """
    return headers.get("x-oss-version-id") or headers.get("x-oss-versionid", "")


def possible_size(text: str) -> int:
    """The size of an object. Raises ValueError if none can have it."""
    size = parse_digits(text)
    if size > MAX_OBJECT_BYTES:
        raise ValueError(f"not the size of an object: {text[:32]}")
    return size


def possible_time(date: datetime) -> int:
    """Unix seconds, moved to the nearest that a file can have. Raises ValueError.

    A wrong date is no reason not to show a directory.
    """
    try:
        return min(max(int(date.timestamp()), 0), LATEST_S - 1)
    except OverflowError as error:
        raise ValueError(f"not a date: {date}") from error


def unquoted(etag: str) -> str:
    """An ETag as `ObjectMeta` has it."""
    return etag.strip().strip('"')
