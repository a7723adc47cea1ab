"""ListObjects, ListObjectsV2 and what else a bucket can be asked. Blocking."""

import base64
import binascii
from collections.abc import Callable, Iterator

from ossfs_resume.emulator import xml
from ossfs_resume.emulator.answer import Answer, xml_answer
from ossfs_resume.emulator.bucket import Bucket
from ossfs_resume.emulator.listing import Page, cut_page
from ossfs_resume.emulator.object_facts import Facts
from ossfs_resume.emulator.refusal import invalid_argument, not_implemented
from ossfs_resume.emulator.request import BUCKET_QUERIES, Request

DEFAULT_MAX_KEYS = 100
MAX_MAX_KEYS = 1000
_AFTER_EMPTY = "~"
"""Begins the token of an empty page; base64 has no such character."""

ShownFacts = Callable[[bytes, Facts], Facts]
"""Key and facts to the facts that are shown of it."""


def list_objects(request: Request, bucket: Bucket, shown: ShownFacts, oddity: str = "") -> Answer:
    """Answer one page of a listing; `Refusal` for arguments out of range.

    ``oddity`` is what the fault ``listing`` says.
    """
    query = _read_query(request, oddity)
    if oddity == "empty" and query.is_v2 and not query.token.startswith(_AFTER_EMPTY):
        nothing = Page((), (), b"", is_truncated=True)
        return xml_answer(xml.list_body(query, nothing, (), _AFTER_EMPTY + query.token))
    token = "" if oddity == "repeat" else query.token.removeprefix(_AFTER_EMPTY)
    page = cut_page(
        bucket.keys(is_continuation=bool(token) or (not query.is_v2 and bool(query.after))),
        prefix=query.prefix,
        delimiter=query.delimiter,
        after=_decode_token(token) if token else query.after,
        limit=query.max_keys,
    )
    items = [item for key in page.keys for item in _item(bucket, key, shown)]
    return xml_answer(xml.list_body(query, page, items, _encode_token(page.last)))


def describe_bucket(request: Request, region: str) -> Answer:
    """Answer GetBucketLocation, GetBucketInfo or, without a bucket, ListBuckets."""
    if request.method not in ("GET", "HEAD"):
        raise not_implemented(request.method)
    match request.has_any(BUCKET_QUERIES):
        case "location":
            return xml_answer(xml.location_body(region))
        case "bucketInfo" | "":
            return xml_answer(xml.bucket_info_body(request.bucket, region))
        case other:
            raise not_implemented(other)


def _read_query(request: Request, oddity: str) -> xml.ListQuery:
    is_v2 = request.parameter("list-type") == b"2" and oddity != "v1"
    is_encoded = request.parameter("encoding-type") == b"url" and oddity != "bare"
    token = (request.parameter("continuation-token") or b"") if is_v2 else b""
    return xml.ListQuery(
        bucket=request.bucket,
        is_v2=is_v2,
        prefix=request.parameter("prefix") or b"",
        delimiter=request.parameter("delimiter") or b"",
        max_keys=_max_keys(request),
        after=request.parameter("start-after" if is_v2 else "marker") or b"",
        token=token.decode("latin-1"),
        is_encoded=is_encoded,
        shows_owner=not is_v2 or request.parameter("fetch-owner") == b"true",
    )


def _max_keys(request: Request) -> int:
    text = (request.parameter("max-keys") or b"").decode("latin-1") or str(DEFAULT_MAX_KEYS)
    if not text.isdecimal() or not 1 <= int(text) <= MAX_MAX_KEYS:
        raise invalid_argument(
            "Argument maxKeys must be an integer between 1 and 1000.", "max-keys", text
        )
    return int(text)


def _item(bucket: Bucket, key: bytes, shown: ShownFacts) -> Iterator[xml.Item]:
    """Yield the item of a key, nothing if it has gone since the keys were read."""
    described = bucket.describe(key)
    if described is not None:
        size, modified, facts = described
        properties = bucket.properties(key)
        facts = properties.shown(shown(key, facts))
        kind, storage_class = facts.object_type, properties.storage_class
        yield xml.Item(key, size, facts.etag, modified, kind, storage_class)


def _encode_token(last: bytes) -> str:
    return base64.urlsafe_b64encode(last).decode().rstrip("=")


def _decode_token(token: str) -> bytes:
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        message = "The continuation token provided is incorrect"
        raise invalid_argument(message, "continuation-token", token) from None
