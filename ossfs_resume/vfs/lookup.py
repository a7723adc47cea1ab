"""What one name is, asked of the origin when no listing can tell.

An object is found by HEAD, a directory by listing one key below it; both are asked at once and the
directory wins. The listing also brings the marker object, which sorts before every other key.

Symlink objects: what they are shown as.

OSS lists a symlink with the size of its target's name, and answers a GET with the target's content
and ETag (oss-protocol section 4.5). So a listing says nothing that could be used: one GetSymlink
tells the target. If that lies inside the mount the object is a symbolic link. Otherwise it is a
file with its target's content, and one HEAD tells that one's size and ETag; as long as OSS refuses
even this, it is left out if the target does not exist, and stays what the listing says otherwise.
"""

import posixpath
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeAlias

import trio

from ossfs_resume.errors import (
    AccessDenied,
    BadRequest,
    NotFound,
    NotPermitted,
    OriginError,
    OssfsError,
    TransientError,
)
from ossfs_resume.oss.columns import types_of
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.oss.paging import pages
from ossfs_resume.vfs.metadata_requests import Origin
from ossfs_resume.vfs.names import (
    decode,
    encode,
    has_shadow,
    is_possible,
    is_representable,
    shadowed,
)

_SYMLINK = "symlink"


def is_symlink(meta: ObjectMeta) -> bool:
    """Whether the origin calls it a symlink."""
    return meta.object_type.lower() == _SYMLINK


def _symlinks(objects: Sequence[ObjectMeta]) -> list[int]:
    """The places of those that are."""
    types = types_of(objects)
    if _SYMLINK not in {kind.lower() for kind in set(types)}:
        return []
    return [place for place, kind in enumerate(types) if kind.lower() == _SYMLINK]


def path_between(key: str, target: str, root: str) -> str | None:
    """The path from a link at ``key`` to ``target``; None if that is outside of the mount.

    ``root`` is the prefix of all mounted keys.
    """
    below = target.removeprefix(root).rstrip("/")
    is_inside = target.startswith(root) and below != ""
    if not is_inside or not all(is_representable(encode(name)) for name in below.split("/")):
        return None
    return posixpath.relpath("/" + below, "/" + posixpath.dirname(key.removeprefix(root)))


async def resolve(origin: Origin, key: str, seen: ObjectMeta | None = None) -> ObjectMeta:
    """What is shown of the symlink ``key``; ``seen`` is what a HEAD said. Raises OriginError."""
    link = await origin.read_link(key)
    path = path_between(key, link.target, origin.root_prefix)
    if path is None:
        return seen or await origin.head(key)
    size = len(encode(path))
    return ObjectMeta(key, size, link.etag, link.modified, object_type="Symlink", link=path)


async def resolve_page(origin: Origin, page: ListPage) -> ListPage:
    """The page with each symlink as it is shown. Raises TransientError."""
    shown: dict[str, ObjectMeta | None] = {}
    failures: list[TransientError] = []

    async def look(meta: ObjectMeta) -> None:
        shown[meta.key] = meta
        try:
            shown[meta.key] = await resolve(origin, meta.key)
        except NotFound:
            shown[meta.key] = None
        except TransientError as error:
            failures.append(error)
        except OriginError:
            pass  # reading it will tell

    links = [page.objects[number] for number in _symlinks(page.objects)]
    if not links:
        return page
    async with trio.open_nursery() as nursery:
        for meta in links:
            nursery.start_soon(look, meta)
    if failures:
        raise failures[0]
    objects = (shown.get(meta.key, meta) for meta in page.objects)
    return replace(page, objects=tuple(meta for meta in objects if meta is not None))


LINK_CODES = ("SymlinkTargetNotExist", "InvalidTargetType")
"""What a HEAD says of a symlink to nothing and of a symlink to a symlink."""

IMPOSSIBLE_NAME = "InvalidObjectName"
"""No object has this name, one with a backslash at its beginning for instance."""


@dataclass(frozen=True, slots=True)
class FoundDirectory:
    """A directory: known from a key below it, or not ``listable`` and only assumed."""

    prefix: str
    marker: ObjectMeta | None = None
    listable: bool = True


Found: TypeAlias = ObjectMeta | FoundDirectory | None


async def find(origin: Origin, parent_prefix: str, name: bytes) -> Found:
    """What ``name`` stands for; None if nothing. Raises OriginError if that cannot be said."""
    found = await _object_or_directory(origin, parent_prefix + decode(name))
    base = shadowed(name)
    if found is None and base is not None:
        return await _shadow(origin, parent_prefix + decode(base))
    return found


async def _object_or_directory(origin: Origin, key: str) -> Found:
    meta: ObjectMeta | None = None
    directory: FoundDirectory | None = None
    head_error: OssfsError | None = None
    list_error: OssfsError | None = None

    async def look_for_object() -> None:
        nonlocal meta, head_error
        try:
            meta = await _object(origin, key)
        except OssfsError as error:
            head_error = error

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look_for_object)
        try:
            directory = await _directory(origin, key + "/")
        except OssfsError as error:
            list_error = error
        if directory is not None:
            nursery.cancel_scope.cancel()
    if directory is not None:
        return directory
    return _without_directory(key, meta, head_error, list_error)


def _without_directory(
    key: str, meta: ObjectMeta | None, head_error: OssfsError | None, list_error: OssfsError | None
) -> Found:
    """No directory was seen. Where listing is forbidden, known paths must open all the same.

    A policy may allow reading below ``a/`` only: then not even HEAD of ``a`` is answered, and ``a``
    must still be passed through.
    """
    if list_error is not None and not isinstance(list_error, AccessDenied):
        raise list_error
    is_hidden = isinstance(head_error, NotPermitted) and isinstance(list_error, NotPermitted)
    if head_error is not None and not is_hidden:
        raise head_error
    if meta is None and list_error is not None:
        return FoundDirectory(key + "/", listable=False)
    return meta


async def _shadow(origin: Origin, key: str) -> ObjectMeta | None:
    """The object of this key if it is displaced by a directory of the same name."""
    if await _directory(origin, key + "/") is None:
        return None
    meta = await _object(origin, key)
    return meta if meta is not None and has_shadow(meta) else None


async def _object(origin: Origin, key: str) -> ObjectMeta | None:
    if not is_possible(key):
        return None
    seen: ObjectMeta | None = None
    try:
        seen = await origin.head(key)
        return await resolve(origin, key, seen) if is_symlink(seen) else seen
    except (NotFound, BadRequest) as error:
        if error.code in LINK_CODES and seen is None:
            return await _dangling(origin, key)
        if isinstance(error, NotFound) or error.code == IMPOSSIBLE_NAME:
            return None
        raise


async def _dangling(origin: Origin, key: str) -> ObjectMeta | None:
    """A symlink whose target has no content to show; a link all the same if it stays inside."""
    try:
        return await resolve(origin, key)
    except (NotFound, BadRequest):
        return None


async def _directory(origin: Origin, prefix: str) -> FoundDirectory | None:
    if not is_possible(prefix):
        return None
    async with aclosing(
        pages(lambda token: origin.list_page(prefix, token=token, max_keys=1))
    ) as listing:
        async for page in listing:
            if page.objects or page.prefixes:
                is_marker = bool(page.objects) and page.objects[0].key == prefix
                return FoundDirectory(prefix, page.objects[0] if is_marker else None)
    return None
