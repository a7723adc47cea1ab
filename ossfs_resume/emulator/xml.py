"""Bodies of answers as XML.

With ``encoding-type=url`` every name is percent-encoded; without it names go out as they are, and
a key with control characters makes the body unparsable, exactly as with OSS.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import gmtime, strftime
from urllib.parse import quote_from_bytes
from xml.sax.saxutils import escape

from ossfs_resume.emulator.listing import Page

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
OWNER = "0022012345678901"
DATE_FORMAT = "%Y-%m-%dT%H:%M:%S.000Z"


@dataclass(frozen=True, slots=True)
class Item:
    """One object of a listing; ``etag`` without quotes, ``modified`` in Unix seconds."""

    key: bytes
    size: int
    etag: str
    modified: int
    object_type: str
    storage_class: str


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What a listing was asked for, to be repeated in its answer."""

    bucket: str
    is_v2: bool
    prefix: bytes
    delimiter: bytes
    max_keys: int
    after: bytes
    token: str
    is_encoded: bool
    shows_owner: bool


def list_body(query: ListQuery, page: Page, items: Iterable[Item], next_token: str) -> bytes:
    """Return the ListBucketResult of ListObjects or ListObjectsV2."""
    write = _url if query.is_encoded else _raw
    parts = [
        _element("Name", query.bucket),
        _element("Prefix", write(query.prefix)),
        _element("MaxKeys", str(query.max_keys)),
        _element("Delimiter", write(query.delimiter)),
        _element("EncodingType", "url") if query.is_encoded else "",
        _element("IsTruncated", "true" if page.is_truncated else "false"),
    ]
    parts += _position_v2(query, page, write, next_token) if query.is_v2 else []
    parts += [] if query.is_v2 else _position_v1(query, page, write)
    parts += [_item(item, write, query.shows_owner) for item in items]
    parts += [
        f"<CommonPrefixes><Prefix>{write(p)}</Prefix></CommonPrefixes>" for p in page.prefixes
    ]
    body = f"{_DECLARATION}<ListBucketResult>{''.join(parts)}</ListBucketResult>"
    return body.encode("utf-8", "surrogateescape")


def error_body(elements: Mapping[str, str]) -> bytes:
    """Return an Error document."""
    parts = "".join(_element(name, _text(value)) for name, value in elements.items())
    return f"{_DECLARATION}<Error>{parts}</Error>".encode("utf-8", "replace")


def location_body(region: str) -> bytes:
    """Return the answer of GetBucketLocation."""
    return f"{_DECLARATION}<LocationConstraint>oss-{region}</LocationConstraint>".encode()


def bucket_info_body(bucket: str, region: str) -> bytes:
    """Return the answer of GetBucketInfo."""
    return f"{_DECLARATION}<BucketInfo>{_bucket(bucket, region)}</BucketInfo>".encode()


def buckets_body(bucket: str, region: str) -> bytes:
    """Return the answer of ListBuckets: this one bucket."""
    buckets = f"<Buckets>{_bucket(bucket, region)}</Buckets>"
    body = f"<ListAllMyBucketsResult>{_owner()}{buckets}</ListAllMyBucketsResult>"
    return f"{_DECLARATION}{body}".encode()


def _position_v2(
    query: ListQuery, page: Page, write: Callable[[bytes], str], next_token: str
) -> list[str]:
    return [
        _element("StartAfter", "" if query.token else write(query.after)),
        _element("ContinuationToken", _text(query.token)) if query.token else "",
        _element("NextContinuationToken", next_token) if page.is_truncated else "",
        _element("KeyCount", str(len(page.keys) + len(page.prefixes))),
    ]


def _position_v1(query: ListQuery, page: Page, write: Callable[[bytes], str]) -> list[str]:
    return [
        _element("Marker", write(query.after)),
        _element("NextMarker", write(page.last)) if page.is_truncated else "",
    ]


def _item(item: Item, write: Callable[[bytes], str], shows_owner: bool) -> str:
    return (
        f"<Contents><Key>{write(item.key)}</Key>"
        f"<LastModified>{strftime(DATE_FORMAT, gmtime(item.modified))}</LastModified>"
        f"<ETag>&quot;{item.etag}&quot;</ETag><Type>{item.object_type}</Type>"
        f"<Size>{item.size}</Size><StorageClass>{item.storage_class}</StorageClass>"
        f"{_owner() if shows_owner else ''}</Contents>"
    )


def _bucket(bucket: str, region: str) -> str:
    return (
        f"<Bucket><Name>{bucket}</Name><Location>oss-{region}</Location>"
        f"<CreationDate>2020-01-01T00:00:00.000Z</CreationDate>"
        f"<ExtranetEndpoint>oss-{region}.aliyuncs.com</ExtranetEndpoint>"
        f"<IntranetEndpoint>oss-{region}-internal.aliyuncs.com</IntranetEndpoint>"
        f"<StorageClass>Standard</StorageClass><Region>{region}</Region>{_owner()}"
        f"<AccessControlList><Grant>private</Grant></AccessControlList></Bucket>"
    )


def _owner() -> str:
    return f"<Owner><ID>{OWNER}</ID><DisplayName>{OWNER}</DisplayName></Owner>"


def _element(name: str, text: str) -> str:
    return f"<{name}>{text}</{name}>"


def _url(name: bytes) -> str:
    return quote_from_bytes(name, safe="")


def _raw(name: bytes) -> str:
    return escape(name.decode("utf-8", "surrogateescape"))


def _text(value: str) -> str:
    """Escape a text of an error, without what XML 1.0 forbids."""
    return escape("".join(c if c >= " " or c in "\t\n\r" else "?" for c in value))
