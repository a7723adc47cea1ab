"""GET and HEAD of one object. Blocking only in `Bucket.compute_facts`.

Conditions are If-Match, If-None-Match, If-Modified-Since and If-Unmodified-Since. Unlike RFC 9110,
OSS answers 200 with the entire object to a range that is not wholly inside it, unless the request
says ``x-oss-range-behavior: standard`` (OSS documentation, GetObject).
"""

import mimetypes
import re
from collections.abc import Mapping
from email.utils import formatdate, parsedate_to_datetime
from enum import Enum
from urllib.parse import quote_from_bytes

from ossfs_resume.emulator.answer import Answer, FilePart
from ossfs_resume.emulator.bucket import Stored
from ossfs_resume.emulator.object_facts import ORDINARY, STORAGE_CLASS, Facts, Properties
from ossfs_resume.emulator.refusal import PRECONDITION_FAILED, Refusal, not_implemented
from ossfs_resume.emulator.request import Request


class Verdict(Enum):
    """What the conditions of a request lead to."""

    PASS = 200
    NOT_MODIFIED = 304
    FAILED = 412


def judge(headers: Mapping[str, str], etag: str, modified: int) -> Verdict:
    """Judge a GET or HEAD; ``etag`` without quotes, ``modified`` in Unix seconds.

    An ETag may be given quoted or bare: oss2 sends it bare. A condition on the ETag takes
    precedence over the one on the time (RFC 9110, 13.2.2). Unreadable dates count as absent.
    """
    if (wanted := headers.get("if-match")) is not None:
        if not _names(wanted, etag):
            return Verdict.FAILED
    elif (limit := _unix_time(headers.get("if-unmodified-since"))) is not None and modified > limit:
        return Verdict.FAILED
    if (known := headers.get("if-none-match")) is not None:
        return Verdict.NOT_MODIFIED if _names(known, etag) else Verdict.PASS
    limit = _unix_time(headers.get("if-modified-since"))
    return Verdict.NOT_MODIFIED if limit is not None and modified <= limit else Verdict.PASS


def _names(header: str, etag: str) -> bool:
    tags = [tag.strip().strip('"') for tag in header.split(",")]
    return etag in tags or "*" in tags


def _unix_time(header: str | None) -> float | None:
    try:
        return parsedate_to_datetime(header).timestamp() if header else None
    except ValueError:
        return None


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


_UNSUPPORTED = ("acl", "tagging", "uploadId", "x-oss-process", "restore")


def read_object(
    request: Request, stored: Stored, facts: Facts, properties: Properties = ORDINARY
) -> Answer:
    """Answer a GET or HEAD from an open object; for a symlink that is followed, the target's.

    Raises `Refusal`. The object is handed on in the answer to a GET of content, else closed.
    """
    try:
        answer = _answer(request, stored, facts, properties)
    except BaseException:
        stored.close()
        raise
    if not isinstance(answer.body, FilePart):
        stored.close()
    return answer


def _answer(request: Request, stored: Stored, facts: Facts, properties: Properties) -> Answer:
    _refuse_unsupported(request)
    if request.parameter("symlink") is not None:
        return _symlink(stored, facts, properties)
    match judge(request.headers, facts.etag, stored.modified):
        case Verdict.FAILED:
            raise PRECONDITION_FAILED
        case Verdict.NOT_MODIFIED:
            return Answer(304, {"ETag": f'"{facts.etag}"'})
    is_meta = request.parameter("objectMeta") is not None
    headers = _identity(stored, facts)
    if properties.version_id:
        headers["x-oss-version-id"] = properties.version_id
    if facts.object_type == "Appendable":
        headers["x-oss-next-append-position"] = str(stored.size)
    headers |= {} if is_meta else {**_description(request, facts), **properties.headers}
    if request.method == "HEAD":
        return Answer(200, headers | {"Content-Length": str(stored.size)})
    properties.refuse_content()
    return _content(request, stored, headers)


def _symlink(stored: Stored, facts: Facts, properties: Properties) -> Answer:
    if properties.object_type != "Symlink":
        raise Refusal(400, "NotSymlink", "The object is not a symlink.", "0016-00000801")
    target = quote_from_bytes(stored.read(0, stored.size), safe="")
    headers = {"ETag": f'"{facts.etag}"', "x-oss-symlink-target": target}
    return Answer(200, headers | {"Last-Modified": formatdate(stored.modified, usegmt=True)})


def _content(request: Request, stored: Stored, headers: dict[str, str]) -> Answer:
    span = _span(request, stored.size)
    if span is None:
        return Answer(200, headers, FilePart(stored, range(stored.size)))
    headers.pop("Content-MD5", None)
    headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{stored.size}"
    return Answer(206, headers, FilePart(stored, span))


def _span(request: Request, size: int) -> range | None:
    """The range to send, None for all; empty folder markers ignore the header."""
    if request.key.endswith(b"/") and size == 0:
        return None
    header = request.headers.get("range")
    standard = request.headers.get("x-oss-range-behavior") == "standard"
    try:
        return resolve(header, size, standard=standard)
    except Unsatisfiable:
        message = "The requested range cannot be satisfied"
        details = {"ActualObjectSize": str(size), "RangeHeader": header or ""}
        raise Refusal(416, "InvalidRange", message, "0026-00000041", details) from None


def _identity(stored: Stored, facts: Facts) -> dict[str, str]:
    headers = {
        "ETag": f'"{facts.etag}"',
        "Last-Modified": formatdate(stored.modified, usegmt=True),
        "x-oss-object-type": facts.object_type,
    }
    return headers | ({} if facts.crc64 is None else {"x-oss-hash-crc64ecma": str(facts.crc64)})


def _description(request: Request, facts: Facts) -> dict[str, str]:
    name = request.key.decode("utf-8", "replace")
    headers = {
        "Accept-Ranges": "bytes",
        "content-type": mimetypes.guess_type(name)[0] or "application/octet-stream",
        "x-oss-storage-class": STORAGE_CLASS,
    }
    return headers | ({"Content-MD5": facts.content_md5} if facts.content_md5 else {})


def _refuse_unsupported(request: Request) -> None:
    if name := request.has_any(_UNSUPPORTED):
        raise not_implemented(name)
