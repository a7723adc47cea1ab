"""Pages of listings and answers of lookups as bytes, to be kept in the cache and read back.

JSON, because it takes every key (illegal UTF-8 as lone surrogates) and is parsed fast; keys without
the prefix that all of a page share; compressed, because names resemble each other.
"""

import json
import zlib
from collections.abc import Sequence
from typing import Any

from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.vfs.probe import Found, FoundDirectory

_FAST = 1


def pack_page(page: ListPage, prefix: str) -> bytes:
    """One page of the listing of ``prefix``; its token is not kept."""
    start = len(prefix)
    return _packed(
        [
            [_fields(meta, start) for meta in page.objects],
            [name[start:] for name in page.prefixes],
        ]
    )


def unpack_pages(bodies: Sequence[bytes], prefix: str) -> list[ListPage]:
    """The pages of one listing. Raises ValueError if they are no such pages."""
    last = len(bodies) - 1
    pages = []
    for number, body in enumerate(bodies):
        objects, prefixes = _unpacked(body)
        pages.append(
            ListPage(
                tuple(_meta(fields, prefix) for fields in objects),
                tuple(prefix + name for name in prefixes),
                "" if number == last else f"kept {number}",
            )
        )
    return pages


def pack_found(found: Found) -> bytes | None:
    """What a lookup found; None if nothing."""
    if found is None:
        return None
    if isinstance(found, FoundDirectory):
        marker = None if found.marker is None else _fields(found.marker, 0)
        return _packed({"prefix": found.prefix, "marker": marker, "listable": found.listable})
    return _packed(_fields(found, 0))


def unpack_found(body: bytes) -> Found:
    """The reverse. Raises ValueError if it is no such answer."""
    value = _unpacked(body)
    if isinstance(value, dict):
        marker = value["marker"] and _meta(value["marker"], "")
        return FoundDirectory(value["prefix"], marker, value["listable"])
    return _meta(value, "")


def _fields(meta: ObjectMeta, start: int) -> list[Any]:
    return [
        meta.key[start:],
        meta.size,
        meta.etag,
        meta.modified,
        meta.crc64,
        meta.version_id,
        meta.object_type,
        meta.storage_class,
        meta.link,
    ]


def _meta(fields: list[Any], prefix: str) -> ObjectMeta:
    try:
        return ObjectMeta(prefix + fields[0], *fields[1:])
    except TypeError as error:
        raise ValueError("no kept object") from error


def _packed(value: object) -> bytes:
    return zlib.compress(json.dumps(value, separators=(",", ":")).encode(), _FAST)


def _unpacked(body: bytes) -> Any:
    try:
        return json.loads(zlib.decompress(body))
    except zlib.error as error:
        raise ValueError(str(error)) from error
