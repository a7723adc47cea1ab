"""Symlink objects: what they are shown as.

OSS lists a symlink with the size of its target's name, and answers a GET with the target's content
and ETag (oss-protocol section 4.5). So a listing says nothing that could be used: one GetSymlink
tells the target. If that lies inside the mount the object is a symbolic link. Otherwise it is a
file with its target's content, and one HEAD tells that one's size and ETag; as long as OSS refuses
even this, it is left out if the target does not exist, and stays what the listing says otherwise.
"""

import posixpath
from collections.abc import Sequence
from dataclasses import replace

import trio

from ossfs_resume.errors import NotFound, OriginError, TransientError
from ossfs_resume.oss.columns import types_of
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.vfs.names import encode, is_representable
from ossfs_resume.vfs.origin import Origin

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
