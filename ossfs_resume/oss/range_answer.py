"""Whether an answer carries exactly the bytes of exactly the version that were asked for.

The one place that stands between a wrong byte and the cache: a proxy drops the Range header, an
object is replaced between two ranges. An answer that does not pass is never read as data.
"""

import re

from ossfs_resume.errors import BadAnswer, ObjectChanged
from ossfs_resume.oss.headers import Headers, unquoted
from ossfs_resume.oss.models import ObjectMeta

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,20})-([0-9]{1,20})/([0-9]{1,20})")


def parse_content_range(text: str) -> tuple[int, int, int]:
    """``start, stop, total`` of a Content-Range, ``stop`` exclusive. Raises BadAnswer."""
    match = _CONTENT_RANGE.fullmatch(text)
    if match is None:
        raise BadAnswer(f"not a range of bytes: Content-Range {text[:100]!r}")
    first, last, total = map(int, match.groups())
    return first, last + 1, total


def check_range(meta: ObjectMeta, start: int, stop: int, status: int, headers: Headers) -> None:
    """Raises unless the answer carries exactly the bytes ``[start, stop)`` of this version.

    An appendable object that has grown may have another ETag and a greater size.
    ObjectChanged: another ETag or total size. BadAnswer: anything else, such as the whole object
    instead of a range. Content-Encoding does not matter: an object may be *stored* with one, and
    an answer compressed on the way has neither this length nor this range.
    """
    etag = unquoted(headers.get("etag", ""))
    if meta.access == "grown":
        _check_type(meta, headers)
    elif etag and etag != meta.etag:
        raise ObjectChanged(f"{meta.key!r} is now {etag}, no longer {meta.etag}", status=status)
    _check_extent(meta, start, stop, status, headers)
    if not etag:
        raise BadAnswer(f"a range of {meta.key!r} came without an ETag", status=status)
    if "transfer-encoding" in headers:  # it, and no Content-Length, would say where the body ends
        raise BadAnswer(f"a range of {meta.key!r} came without a certain length", status=status)
    if headers.get("content-length") != str(stop - start):
        length = headers.get("content-length", "unknown")
        raise BadAnswer(
            f"{stop - start} bytes of {meta.key!r} were asked for, {length} announced",
            status=status,
        )


def _check_type(meta: ObjectMeta, headers: Headers) -> None:
    kind = headers.get("x-oss-object-type", "")
    if kind.lower() != meta.object_type.lower():
        raise ObjectChanged(f"{meta.key!r} is now of type {kind}, no longer {meta.object_type}")


def _check_extent(meta: ObjectMeta, start: int, stop: int, status: int, headers: Headers) -> None:
    if status == 200 and (start, stop) == (0, meta.size):
        return
    if status != 206:
        raise BadAnswer(f"status {status} instead of 206 for {meta.key!r}", status=status)
    got_start, got_stop, total = parse_content_range(headers.get("content-range", ""))
    if total < meta.size or (total > meta.size and meta.access != "grown"):
        raise ObjectChanged(f"{meta.key!r} has {total} bytes, no longer {meta.size}", status=status)
    if (got_start, got_stop) != (start, stop):
        raise BadAnswer(
            f"bytes [{got_start}, {got_stop}) of {meta.key!r} came instead of [{start}, {stop})",
            status=status,
        )
