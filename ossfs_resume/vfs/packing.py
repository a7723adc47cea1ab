"""Pages of listings and answers of lookups as bytes, to be kept in the cache and read back.

JSON, because it takes every key (illegal UTF-8 as lone surrogates) and is parsed fast, most of all
column by column; keys without the prefix that all of a page share; compressed, because names
resemble each other. Pages with symlinks are kept object by object, as all were by earlier versions.
"""

import json
import zlib
from array import array
from collections.abc import Sequence
from sys import intern
from typing import Any

from ossfs_resume.oss.columns import INT64, Objects
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.vfs.probe import Found, FoundDirectory

_FAST = 1


def pack_page(page: ListPage, prefix: str) -> bytes:
    """One page of the listing of ``prefix``; its token is not kept."""
    start = len(prefix)
    prefixes = [name[start:] for name in page.prefixes]
    if isinstance(page.objects, Objects):
        return _packed({"columns": _columns(page.objects, start), "prefixes": prefixes})
    return _packed([[_fields(meta, start) for meta in page.objects], prefixes])


def unpack_pages(bodies: Sequence[bytes], prefix: str) -> list[ListPage]:
    """The pages of one listing. Raises ValueError if they are no such pages."""
    last = len(bodies) - 1
    pages = []
    for number, body in enumerate(bodies):
        value = _unpacked(body)
        if isinstance(value, dict):
            objects: Sequence[ObjectMeta] = _objects(value["columns"], prefix)
            prefixes = value["prefixes"]
        else:
            rows, prefixes = value
            objects = tuple(_meta(fields, prefix) for fields in rows)
        pages.append(
            ListPage(
                objects,
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


def _columns(objects: Objects, start: int) -> list[list[Any]]:
    return [
        [key[start:] for key in objects.keys],
        objects.sizes.tolist(),
        objects.etags,
        objects.modified.tolist(),
        objects.types,
        objects.classes,
    ]


def _objects(columns: list[list[Any]], prefix: str) -> Objects:
    try:
        names, sizes, etags, modified, types, classes = columns
        if len(set(map(len, columns))) != 1:
            raise ValueError("no kept objects")
        return Objects(
            [prefix + name for name in names],
            array(INT64, sizes),
            etags,
            array(INT64, modified),
            list(map(intern, types)),
            list(map(intern, classes)),
        )
    except TypeError as error:
        raise ValueError("no kept objects") from error


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
