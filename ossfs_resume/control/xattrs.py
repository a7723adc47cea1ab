"""The extended attributes: verbs that are set, and values that are read.

A verb is accepted and returns at once; what it started is told by ``state``, ``progress`` and
``status``. Names come without the ``user.ossfs.`` in front.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from ossfs_resume.cache.geometry import Geometry
from ossfs_resume.cache.models import EntrySummary, ObjectVersion
from ossfs_resume.control import overview, part_map
from ossfs_resume.control.actions import Care, Pins
from ossfs_resume.control.jobs import Jobs
from ossfs_resume.control.overview import Overview
from ossfs_resume.errors import BadValue, IsADirectory, NoProgress, NoSuchAttribute, OssfsError
from ossfs_resume.fetch.download import Download
from ossfs_resume.fetch.open_downloads import version_of
from ossfs_resume.fetch.thread_calls import Asking
from ossfs_resume.oss.models import ObjectMeta

Verb = Callable[[str, ObjectMeta | None], Awaitable[None]]
"""What is done for a key and its object, or for a prefix and None."""


class Namespace(Protocol):
    """What verbs need of the tree."""

    ROOT: int

    def version_of(self, inode: int) -> ObjectMeta:
        """The object that a file's inode stands for. Raises IsADirectory."""

    def prefix_of(self, inode: int) -> str:
        """What all keys below a directory start with."""


class Downloads(Protocol):
    """What verbs need of the fetch engine."""

    def find(self, meta: ObjectMeta) -> Download | None: ...

    def last_error(self, meta: ObjectMeta) -> OssfsError | None: ...


class Summaries(Protocol):
    """What verbs need of the cache; it blocks."""

    def state(self, version: ObjectVersion) -> EntrySummary | None: ...

    def missing(self, version: ObjectVersion) -> list[range] | None: ...


@dataclass(frozen=True, slots=True)
class Presence:
    """How much of an object is cached."""

    parts_present: int
    part_count: int
    bytes_present: int
    is_verified: bool

    def __str__(self) -> str:
        return overview.progress(self.parts_present, self.part_count)


class Verbs:
    """``statistics`` gives the values of ``user.ossfs.stats``, which the root alone has;
    ``failing`` says why requests for a version that are tried again and again fail."""

    def __init__(
        self,
        tree: Namespace,
        engine: Downloads,
        store: Summaries,
        jobs: Jobs,
        part_size: int,
        statistics: Callable[[], Mapping[str, Any]],
        pins: Pins,
        care: Care,
        below: Overview,
        failing: Callable[[ObjectMeta], str] = lambda meta: "",
    ) -> None:
        self._tree = tree
        self._engine = engine
        self._store = store
        self._jobs = jobs
        self._part_size = part_size
        self._statistics = statistics
        self._pins = pins
        self._care = care
        self._below = below
        self._failing = failing
        self._asking = Asking()
        self._verbs: dict[str, Verb] = {
            "materialize": lambda path, meta: jobs.add(path),
            "cancel": lambda path, meta: jobs.cancel(path),
            "pause": lambda path, meta: jobs.pause(path),
            "resume": lambda path, meta: jobs.resume(path),
            "pin": pins.pin,
            "unpin": pins.unpin,
            "evict": care.evict,
            "verify": care.verify,
        }

    async def set(self, inode: int, name: str, value: bytes) -> None:
        """Perform a verb. Raises NoSuchAttribute, BadValue, NoSpace, InUse, CacheError."""
        verb = self._verbs.get(name)
        if verb is None and name != "refresh":
            raise NoSuchAttribute(name)
        if value.strip() != b"1":
            raise BadValue(f"user.ossfs.{name} can only be set to 1")
        if verb is None:
            await self._care.refresh(inode)
        else:
            meta = self._object(inode)
            await verb(self._tree.prefix_of(inode) if meta is None else meta.key, meta)

    async def get(self, inode: int, name: str) -> bytes:
        """The value of an attribute. Raises NoSuchAttribute."""
        meta = self._object(inode)
        if name == "job":
            report = self._jobs.report(self._tree.prefix_of(inode) if meta is None else meta.key)
            if report is None:
                raise NoSuchAttribute(name)
            return encode(report.document())
        if meta is None:
            return await self._get_of_directory(inode, name)
        constant = {
            "key": meta.key,
            "etag": meta.etag,
            "crc64": "" if meta.crc64 is None else str(meta.crc64),
            "storage-class": meta.storage_class,
        }
        if name in constant:
            text = constant[name]
        elif name == "map":
            text = await self._map(meta)
        elif name in ("progress", "state", "status", "error"):
            text = await self._get_of_file(meta, name)
        else:
            raise NoSuchAttribute(name)
        if not text:
            raise NoSuchAttribute(name)
        return encode(text)

    def _object(self, inode: int) -> ObjectMeta | None:
        try:
            return self._tree.version_of(inode)
        except IsADirectory:
            return None

    async def _get_of_directory(self, inode: int, name: str) -> bytes:
        prefix, text = self._tree.prefix_of(inode), ""
        if name == "key":
            return encode(prefix)
        if name == "stats" and inode == self._tree.ROOT:
            return encode(json.dumps(self._statistics(), indent=1))
        if name in overview.NAMES:
            text = await self._below.get(prefix, name)
        if not text:
            raise NoSuchAttribute(name)
        return encode(text)

    async def _get_of_file(self, meta: ObjectMeta, name: str) -> str:
        presence = await self._presence(meta)
        error = self._error(meta, presence)
        if name == "progress":
            return str(presence)
        if name == "state":
            return self._state(meta, presence)
        if name == "error":
            return str(error or "")
        return json.dumps(
            {
                "key": meta.key,
                "etag": meta.etag,
                "size": meta.size,
                "state": self._state(meta, presence),
                "parts_present": presence.parts_present,
                "parts": presence.part_count,
                "bytes_present": presence.bytes_present,
                "pinned": await self._pins.is_pinned(meta.key),
                "error": str(error) if error else None,
            }
        )

    def _error(self, meta: ObjectMeta, presence: Presence) -> OssfsError | None:
        is_whole = presence.parts_present == presence.part_count
        error = (
            (None if is_whole else self._jobs.error(meta.key))
            or self._care.error(meta.key)
            or self._engine.last_error(meta)
        )
        cause = self._failing(meta) if isinstance(error, NoProgress) else ""
        return NoProgress(f"{error}; {cause}") if cause else error

    def _state(self, meta: ObjectMeta, presence: Presence) -> str:
        if presence.parts_present == presence.part_count:
            return "verified" if presence.is_verified else "complete"
        job = self._jobs.state(meta.key)
        download = self._engine.find(meta)
        if job:
            return job
        if download is not None and download.claims:
            return "fetching"
        return "partial" if presence.parts_present else "remote"

    async def _map(self, meta: ObjectMeta) -> str:
        """Empty for an object without parts."""
        download = self._engine.find(meta)
        if download is None:
            missing = await self._asking.ask(partial(self._store.missing, version_of(meta)))
            count = (await self._presence(meta)).part_count
            return part_map.drawn(count, [range(count)] if missing is None else missing)
        claims = download.claims.items()
        return part_map.drawn(
            download.entry.part_count,
            download.entry.missing(0, download.entry.part_count),
            [part for part, transfer in claims if not transfer.is_queued],
            [part for part, transfer in claims if transfer.is_queued],
        )

    async def _presence(self, meta: ObjectMeta) -> Presence:
        """What is cached at this moment; the catalogue lags behind an entry that is open."""
        download = self._engine.find(meta)
        if download is not None:
            parts, known = download.entry.part_count, download.entry.progress
            return Presence(known.present_count, parts, known.present_bytes, known.is_verified)
        found = await self._asking.ask(partial(self._store.state, version_of(meta)))
        if found is None:
            return Presence(0, Geometry.fitting(meta.size, self._part_size).part_count, 0, False)
        return Presence(
            found.parts_present, found.part_count, found.bytes_present, found.is_verified
        )


def encode(text: str) -> bytes:
    """Keys may hold bytes that are not UTF-8."""
    return text.encode("utf-8", "surrogateescape")
