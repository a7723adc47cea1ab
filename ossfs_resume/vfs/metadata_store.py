"""What the origin said, kept beyond this mount: written in the background, read when nobody knows.

Nothing waits for the writing, and nothing fails with it. What is recalled counts as long expired:
the origin is asked, and only its silence lets the old word serve.

Pages of listings and answers of lookups as bytes, to be kept in the cache and read back.

JSON, because it takes every key (illegal UTF-8 as lone surrogates) and is parsed fast, most of all
column by column; keys without the prefix that all of a page share; compressed, because names
resemble each other. Pages with symlinks are kept object by object, as all were by earlier versions.
"""

import json
import logging
import zlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from math import inf
from sys import intern
from typing import Any, Protocol, TypeVar

import trio

from ossfs_resume.cache.remembered import DirectoryTime, Remembered
from ossfs_resume.errors import CacheError
from ossfs_resume.fetch.circuit_breaker import CircuitBreaker
from ossfs_resume.fetch.thread_calls import Asking
from ossfs_resume.oss.columns import INT64, Objects
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.vfs.lookup import Found, FoundDirectory
from ossfs_resume.vfs.nodes import DirectoryNode

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


log = logging.getLogger(__name__)

T = TypeVar("T")

FLUSH_INTERVAL_S = 0.5

WRITE_PATIENCE_S = 30.0
"""How long the end of a mount waits for what is new to be written."""

MAX_PENDING = 1000
"""Listings to be written; more are dropped, a walk through a bucket must not fill memory."""

MAX_DIGESTS = 100_000


class Keeper(Protocol):
    """What the memory needs of the cache; all of it blocks and raises CacheError."""

    def remember(self, news: Remembered) -> None:
        """Keep this."""

    def recall_listing(self, prefix: str) -> list[bytes]:
        """The pages that were kept of a listing."""

    def recall_answer(self, key: str) -> bytes | None:
        """What was kept of a lookup."""


class MetadataStore:
    """Without a ``keeper`` nothing is kept and nothing recalled; one that does not answer within
    ``recall_s`` seconds is not waited for."""

    def __init__(self, keeper: Keeper | None = None, recall_s: float = inf) -> None:
        self._keeper = keeper
        self._listings: dict[str, Sequence[bytes]] = {}
        self._news = Remembered()
        self._has_news = trio.Event()
        self._digests: dict[str, bytes] = {}
        self._recalls, self._writes = Asking(4, recall_s), Asking(1, WRITE_PATIENCE_S)
        self._breaker = CircuitBreaker("asked what the origin said")
        # For as long as a busy machine takes: the disk has answered by then.
        self._unpackings = Asking(1, inf)

    def __repr__(self) -> str:
        return f"<MetadataStore {len(self._listings)} listings to be written>"

    async def run(self) -> None:
        """Write what is new, until cancelled; then write the rest."""
        try:
            while True:
                await self._has_news.wait()
                await trio.sleep(FLUSH_INTERVAL_S)
                await self.flush()
        finally:
            with trio.CancelScope(shield=True):
                await self.flush()

    async def flush(self) -> None:
        """Write what is new; what cannot be written is dropped."""
        self._has_news = trio.Event()
        listings, self._listings = self._listings, {}
        news, self._news = self._news, Remembered()
        if self._keeper is None or not (listings or news):
            return
        try:
            await self._writes.ask(partial(self._write, self._keeper, listings, news))
        except CacheError as error:
            log.debug("cannot keep what the origin said: %s", error)

    # --- what is new: memory only ---

    def listed(self, prefix: str, pages: Sequence[bytes]) -> None:
        """The whole listing of a directory, its pages packed (`pack_page`)."""
        if len(self._listings) < MAX_PENDING:
            self._listings[prefix] = pages
            self._has_news.set()

    def found(self, key: str, found: Found) -> None:
        """What a lookup found, or that there is nothing."""
        self._news.answers[key] = pack_found(found)
        self._has_news.set()

    def changed(self, node: DirectoryNode) -> None:
        """A directory was seen for the first time, or its time or names changed."""
        self._news.directories[node.prefix] = DirectoryTime(node.modified_ns, node.names_digest)
        self._has_news.set()

    # --- what was kept ---

    async def listing(self, prefix: str) -> list[ListPage]:
        """The last whole listing of a directory; empty if none is known. Raises CacheError if the
        cache does not say."""
        if self._keeper is None:
            return []
        bodies = await self._recalled(partial(self._keeper.recall_listing, prefix))
        try:
            return await self._unpackings.ask(partial(self._unpack, prefix, bodies))
        except ValueError as error:
            log.debug("cannot read what the origin said: %s", error)
            return []

    async def answer(self, key: str) -> Found:
        """What was last found under a key; None if nothing is known."""
        if self._keeper is None:
            return None
        try:
            body = await self._recalled(partial(self._keeper.recall_answer, key))
            return None if body is None else unpack_found(body)
        except (CacheError, ValueError) as error:
            log.debug("cannot recall what the origin said: %s", error)
            return None

    async def _recalled(self, question: Callable[[], T]) -> T:
        """What the cache kept. Raises CacheError, and at once while its disk fails or hangs, so
        that not each new name waits for that before the origin is asked."""
        if self._breaker.is_resting(trio.current_time()):
            raise CacheError(self._breaker.error)
        try:
            kept = await self._recalls.ask(question)
        except CacheError as error:
            self._breaker.failed(error, trio.current_time())
            raise
        self._breaker.succeeded(trio.current_time())
        return kept

    def _unpack(self, prefix: str, bodies: Sequence[bytes]) -> list[ListPage]:
        pages = unpack_pages(bodies, prefix)
        if bodies:
            self._note_digest(prefix, _digest(bodies))
        return pages

    def _write(
        self, keeper: Keeper, listings: Mapping[str, Sequence[bytes]], news: Remembered
    ) -> None:
        digests = {}
        for prefix, bodies in listings.items():
            digests[prefix] = _digest(bodies)
            if self._digests.get(prefix) != digests[prefix]:
                news.listings[prefix] = bodies
        if news:
            keeper.remember(news)
        for prefix, digest in digests.items():
            self._note_digest(prefix, digest)

    def _note_digest(self, prefix: str, digest: bytes) -> None:
        """A listing that did not change need not be written again."""
        if len(self._digests) >= MAX_DIGESTS:
            self._digests.clear()
        self._digests[prefix] = digest


def _digest(bodies: Sequence[bytes]) -> bytes:
    total = blake2b(digest_size=16)
    for body in bodies:
        total.update(len(body).to_bytes(8, "big"))
        total.update(body)
    return total.digest()
