"""GET and HEAD of one object. Blocking only in `Bucket.compute_facts`."""

import mimetypes
from email.utils import formatdate
from urllib.parse import quote_from_bytes

from ossfs_resume.emulator.answer import Answer, FilePart
from ossfs_resume.emulator.bucket import Stored
from ossfs_resume.emulator.conditions import Verdict, judge
from ossfs_resume.emulator.facts import Facts
from ossfs_resume.emulator.properties import ORDINARY, STORAGE_CLASS, Properties
from ossfs_resume.emulator.ranges import Unsatisfiable, resolve
from ossfs_resume.emulator.refusal import PRECONDITION_FAILED, Refusal, not_implemented
from ossfs_resume.emulator.request import Request

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
