"""Answers of OSS as values, and whether they are what was asked for.

Whatever is not exactly right is an error, never data: a captive portal answers 200 with HTML, a
proxy drops the Range header, an object is replaced between two ranges.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from sys import intern
from xml.etree import ElementTree

from ossfs_resume.errors import BadAnswer, ObjectChanged, OriginError
from ossfs_resume.oss.encoding import may_declare, percent_decode
from ossfs_resume.oss.models import ListPage, ObjectMeta, Symlink
from ossfs_resume.oss.paging import MARKER

Headers = Mapping[str, str]
"""Response headers by lower-case name."""

MAX_LISTING_BYTES = 8 << 20
"""1000 keys of 1023 bytes, each byte encoded, with everything around them, are 4 MiB."""

MAX_LISTING_TAGS = 100_000
"""1000 entries of 20 elements with two tags each are 40 000. A tree of tiny elements takes
a hundred times the memory of its text."""

MAX_ERROR_BYTES = 64 << 10

MAX_OBJECT_BYTES = 1 << 50
"""OSS stores 48.8 TB at most; file systems and catalogues count in 63 bits."""

LATEST_S = (1 << 63) // 10**9
"""File systems count nanoseconds in 64 bits, up to the year 2262; objects begin in 1970."""

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


def parse_listing(body: bytes) -> ListPage:
    """An answer of ListObjectsV2 or ListObjects, every entry of it. Raises BadAnswer if it is
    anything else."""
    root = _listing_root(body)
    about = _texts(root)
    encoded = about.get("EncodingType", "").lower() == "url"
    try:
        objects = tuple(_listed(_texts(each), encoded) for each in _all(root, "Contents"))
        groups = map(_texts, _all(root, "CommonPrefixes"))
        prefixes = tuple(_text(group["Prefix"], encoded) for group in groups)
    except (KeyError, ValueError) as error:
        raise BadAnswer(f"an entry of the listing cannot be understood: {error!r}") from error
    return ListPage(objects, prefixes, _next_token(about, encoded, objects, prefixes))


def check_listing(page: ListPage, prefix: str, delimiter: str) -> ListPage:
    """``page`` as it is. Raises BadAnswer if it names what was not asked for: one who ignores the
    query would make every name a directory."""
    names = [meta.key for meta in page.objects] + list(page.prefixes)
    for name in names:
        if not name.startswith(prefix):
            raise BadAnswer(f"the listing of {prefix!r} names {name[:100]!r}")
    for name in page.prefixes:
        if not delimiter or not name.endswith(delimiter) or len(name) <= len(prefix):
            raise BadAnswer(f"the listing of {prefix!r} names the directory {name[:100]!r}")
    return page


def parse_meta(key: str, headers: Headers) -> ObjectMeta:
    """What the headers of a HEAD say of ``key``. Raises BadAnswer if the essential is missing."""
    try:
        size, etag = _possible_size(headers["content-length"]), _unquoted(headers["etag"])
        modified = parse_http_date(headers["last-modified"])
    except (KeyError, ValueError) as error:
        raise BadAnswer(f"the metadata of {key!r} is incomplete: {error!r}") from error
    return ObjectMeta(
        key=key,
        size=size,
        etag=etag,
        modified=modified,
        crc64=parse_crc64(headers),
        version_id=headers.get("x-oss-version-id", ""),
        object_type=headers.get("x-oss-object-type", ""),
        storage_class=headers.get("x-oss-storage-class", ""),
    )


def parse_symlink(headers: Headers) -> Symlink:
    """The answer of GetSymlink. Raises BadAnswer if the essential is missing."""
    try:
        target = percent_decode(headers["x-oss-symlink-target"])
        modified = parse_http_date(headers["last-modified"])
        return Symlink(target, _unquoted(headers["etag"]), modified)
    except (KeyError, ValueError) as error:
        raise BadAnswer(f"the description of a symlink is incomplete: {error!r}") from error


def parse_http_date(text: str) -> int:
    """Unix seconds of an RFC 1123 date. Raises ValueError."""
    return _possible_time(parsedate_to_datetime(text))


def parse_crc64(headers: Headers) -> int | None:
    """CRC-64 of the whole object, also on a range; None if absent.

    Of a symbolic link it is the link's, while length and content are the target's.
    """
    text = headers.get("x-oss-hash-crc64ecma", "")
    if not text.isascii() or not text.isdigit():
        return None
    return None if headers.get("x-oss-object-type", "").lower() == "symlink" else int(text)


def parse_content_range(text: str) -> tuple[int, int, int]:
    """``start, stop, total`` of a Content-Range, ``stop`` exclusive. Raises BadAnswer."""
    match = _CONTENT_RANGE.fullmatch(text)
    if match is None:
        raise BadAnswer(f"not a range of bytes: Content-Range {text!r}")
    first, last, total = map(int, match.groups())
    return first, last + 1, total


def check_range(meta: ObjectMeta, start: int, stop: int, status: int, headers: Headers) -> None:
    """Raises unless the answer carries exactly the bytes ``[start, stop)`` of this version.

    An appendable object that has grown may have another ETag and a greater size.
    ObjectChanged: another ETag or total size. BadAnswer: anything else, such as the whole object
    instead of a range. Content-Encoding does not matter: an object may be *stored* with one, and
    an answer compressed on the way has neither this length nor this range.
    """
    etag = _unquoted(headers.get("etag", ""))
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


@lru_cache(maxsize=256)
def _local_name(tag: str) -> str:
    """The name of an element alone: namespaces come and go between servers."""
    return tag.rpartition("}")[2]


def _texts(element: ElementTree.Element) -> dict[str, str]:
    """The texts of the children by name, in one pass: a listing has ten thousand of them."""
    return {_local_name(child.tag): child.text or "" for child in element}


def _all(element: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [child for child in element if _local_name(child.tag) == name]


def _listing_root(body: bytes) -> ElementTree.Element:
    if may_declare(body):
        raise BadAnswer("the listing is not one of OSS: it holds a declaration")
    if body.count(b"<") > MAX_LISTING_TAGS:
        raise BadAnswer("the listing is not one of OSS: it holds too many elements")
    try:
        root = ElementTree.fromstring(body)
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # or an odd encoding
        raise BadAnswer(f"the listing is not XML: {error}: {body[:64]!r}") from error
    if _local_name(root.tag) != "ListBucketResult":
        raise BadAnswer(f"a listing was asked for, a {_local_name(root.tag)} came")
    return root


def _listed(entry: Mapping[str, str], encoded: bool) -> ObjectMeta:
    return ObjectMeta(
        key=_text(entry["Key"], encoded),
        size=_possible_size(entry["Size"]),
        etag=_unquoted(entry.get("ETag", "")),
        modified=_unix_seconds(entry["LastModified"]),
        # One text for a million objects, instead of one for each.
        object_type=intern(entry.get("Type", "")),
        storage_class=intern(entry.get("StorageClass", "")),
    )


@lru_cache(maxsize=1024)
def _unix_seconds(text: str) -> int:
    """Of an ISO 8601 time; many objects are of one upload. Raises ValueError."""
    return _possible_time(datetime.fromisoformat(text.strip()))


def _possible_size(text: str) -> int:
    size = int(text)
    if not 0 <= size <= MAX_OBJECT_BYTES:
        raise ValueError(f"not the size of an object: {text[:32]}")
    return size


def _possible_time(date: datetime) -> int:
    # A wrong date is no reason not to show a directory.
    try:
        return min(max(int(date.timestamp()), 0), LATEST_S - 1)
    except OverflowError as error:
        raise ValueError(f"not a date: {date}") from error


def _next_token(
    about: Mapping[str, str],
    encoded: bool,
    objects: Iterable[ObjectMeta],
    prefixes: Iterable[str],
) -> str:
    """Where the next page begins.

    A server that knows only ListObjects (V1) ignores ``list-type`` and answers without KeyCount and
    NextContinuationToken; from there on it is asked with markers (oss-protocol section 3.2), which
    are the last name of a page where the server tells none.
    """
    if about.get("IsTruncated", "").strip().lower() != "true":
        return ""
    if token := _text(about.get("NextContinuationToken", ""), encoded):
        return token
    marker = _text(about.get("NextMarker", ""), encoded)
    marker = marker or max([*(each.key for each in objects), *prefixes], key=_bytes, default="")
    if not marker or about.get("KeyCount", ""):
        # Going on without either would list the first page for ever.
        raise OriginError("the server says that the listing goes on but not where")
    return MARKER + marker


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def _text(text: str, encoded: bool) -> str:
    return percent_decode(text) if encoded else text


def _unquoted(etag: str) -> str:
    return etag.strip().strip('"')
