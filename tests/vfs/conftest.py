"""A small object store in memory, and a tree over it.

`Bucket` honours the listing semantics of OSS (byte order, delimiter, pages of up to 1000 entries,
continuation) and counts what it is asked. Time is trio's mock clock: it stands still while any task
can run, and jumps when all wait.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
import trio
import trio.testing

from ossfs_resume.cache.models import Generation, ObjectVersion
from ossfs_resume.errors import AccessDenied, NotFound, ObjectChanged, OriginError, Unreachable
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.vfs.models import Listed, TreeSettings
from ossfs_resume.vfs.tree import Tree
from support.threads import answer_without_threads

WALL_CLOCK = 1_700_000_000.0


class Bucket:
    """An object store that counts requests, can be slow, unreachable, or refuse to list."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[ObjectMeta, bytes]] = {}
        self.requests: list[tuple[str, str]] = []
        self.delay_s = 0.0
        self.error: OriginError | None = None
        self.may_list = True
        self.page_size = 1000

    def put(self, key: str, body: bytes = b"data", modified: int = 1_600_000_000) -> None:
        etag = f"{hash((key, body)) & 0xFFFFFFFF:X}"
        self.objects[key] = ObjectMeta(key, len(body), etag, modified), body

    def count(self, kind: str) -> int:
        return sum(request[0] == kind for request in self.requests)

    async def head(self, key: str) -> ObjectMeta:
        await self._request("HEAD", key)
        if key not in self.objects:
            raise NotFound(f"{key}: 404", status=404)
        return replace(self.objects[key][0], crc64=1)

    async def list_page(
        self, prefix: str, *, token: str = "", delimiter: str = "/", max_keys: int = 1000
    ) -> ListPage:
        await self._request("LIST", prefix)
        if not self.may_list:
            raise AccessDenied("no ListObjects", status=403)
        return list_keys(
            [meta for meta, _ in self.objects.values()],
            prefix,
            token,
            delimiter,
            min(max_keys, self.page_size),
        )

    async def _request(self, kind: str, key: str) -> None:
        self.requests.append((kind, key))
        await trio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error


def list_keys(
    objects: Sequence[ObjectMeta], prefix: str, token: str, delimiter: str, max_keys: int
) -> ListPage:
    """One page as the origin makes it; the token is the last key or common prefix handed out."""
    entries: dict[bytes, ObjectMeta | None] = {}
    for meta in objects:
        if meta.key.startswith(prefix):
            cut = meta.key.find(delimiter, len(prefix)) if delimiter else -1
            name = meta.key if cut < 0 else meta.key[: cut + 1]
            entries[as_bytes(name)] = meta if cut < 0 else None
    left = sorted(name for name in entries if name > as_bytes(token))
    page = left[:max_keys]
    found = [(as_text(name), entries[name]) for name in page]
    return ListPage(
        tuple(meta for _, meta in found if meta is not None),
        tuple(name for name, meta in found if meta is None),
        as_text(page[-1]) if len(left) > max_keys else "",
    )


def as_bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def as_text(key: bytes) -> str:
    return key.decode("utf-8", "surrogateescape")


@dataclass
class CachedObject:
    """What the cache holds of one version."""

    present_bytes: int = 0
    is_complete: bool = False
    stock: Generation | None = None
    is_open: bool = True

    @property
    def progress(self) -> "CachedObject":
        """An entry has it elsewhere."""
        return self


@dataclass
class FakeDownload:
    meta: ObjectMeta
    entry: CachedObject
    holders: int = 0
    stale: Exception | None = None
    superseded: Exception | None = None


@dataclass
class Cache:
    """Cached versions; the engine's and the store's sides of it."""

    bucket: Bucket
    entries: dict[ObjectVersion, CachedObject] = field(default_factory=dict)
    predicted: list[list[str]] = field(default_factory=list)
    given_up: list[list[str]] = field(default_factory=list)
    downloads: list[FakeDownload] = field(default_factory=list)
    in_use: set[ObjectVersion] = field(default_factory=set)
    questions: int = 0
    asked_below: int = 0
    confirmations: int = 0

    def of(self, key: str) -> CachedObject:
        meta = self.bucket.objects[key][0]
        return self._entry(meta)

    def _entry(self, meta: ObjectMeta) -> CachedObject:
        version = ObjectVersion(meta.key, meta.etag, meta.size)
        return self.entries.setdefault(version, CachedObject())

    async def open(self, meta: ObjectMeta) -> FakeDownload:
        await trio.lowlevel.checkpoint()
        download = FakeDownload(meta, self._entry(meta), 1)
        self.downloads.append(download)
        return download

    def close(self, download: FakeDownload) -> None:
        download.holders -= 1

    def predict(self, metas: Sequence[ObjectMeta], *, is_whole: bool) -> None:
        self.predicted.append([meta.key for meta in metas])

    def give_up(self, metas: Sequence[ObjectMeta]) -> None:
        self.given_up.append([meta.key for meta in metas])

    async def confirm(self, download: FakeDownload) -> None:
        self.confirmations += 1
        await self.read(download, 0, 1)

    def read_at_once(
        self, download: FakeDownload, pattern: object, offset: int, length: int
    ) -> None:
        """Everything has to be waited for."""

    async def read(self, download: FakeDownload, offset: int, length: int) -> bytes:
        await trio.lowlevel.checkpoint()
        meta = download.meta
        if meta.key not in self.bucket.objects:
            raise NotFound("404", status=404)
        current, body = self.bucket.objects[meta.key]
        if current.etag != meta.etag:
            raise ObjectChanged("412", status=412)
        return body[offset : offset + length]

    @property
    def changes(self) -> int:
        """Another one whenever anything is another."""
        return hash(tuple(entry.present_bytes for entry in self.entries.values()))

    def open_bytes(self, version: ObjectVersion) -> int | None:
        return self.opened().get(version)

    def opened(self) -> dict[ObjectVersion, int]:
        return {version: self.entries[version].present_bytes for version in self.in_use}

    def cached_below(self, prefix: str, limit: int) -> dict[ObjectVersion, int] | None:
        self.questions += 1
        self.asked_below += 1
        found = {
            version: entry.present_bytes
            for version, entry in self.entries.items()
            if version.key.startswith(prefix)
        }
        return None if len(found) > limit else found

    def cached_bytes(self, versions: Sequence[ObjectVersion]) -> list[int]:
        self.questions += 1
        return [self.entries.get(version, CachedObject()).present_bytes for version in versions]

    def statvfs(self) -> os.statvfs_result:
        return os.statvfs("/")


@dataclass
class World:
    """A tree, all that it stands on, and the ways in which tests use it."""

    bucket: Bucket
    cache: Cache
    nursery: trio.Nursery
    tree: Tree
    doubted: list[int]
    wall_clock: list[float]
    make_tree: Callable[..., Tree]

    async def lookup(self, path: str) -> Listed:
        parent, found = Tree.ROOT, None
        for name in path.encode().split(b"/"):
            found = self.tree.lookup_at_once(parent, name) or await self.tree.lookup(parent, name)
            parent = found.attributes.inode
        assert found is not None
        return found

    async def entries(
        self, inode: int = Tree.ROOT, limit: int = 100, *, told: int = 0
    ) -> list[Listed]:
        """All; of each portion the kernel takes ``told``."""
        handle = await self.tree.open_directory(inode)
        listed: list[Listed] = []
        while batch := await self.tree.list_directory(
            handle, listed[-1].next_offset if listed else 0, limit
        ):
            self.tree.tell(handle, batch, min(told, len(batch)))
            listed += batch
        self.tree.close_directory(handle)
        return listed

    async def names(self, inode: int = Tree.ROOT) -> list[bytes]:
        return [listed.name for listed in await self.entries(inode)]

    async def open(self, path: str) -> int:
        return (await self.tree.open((await self.lookup(path)).attributes.inode)).handle

    def unplug(self) -> None:
        self.bucket.error = Unreachable("no route to host")

    def plug(self) -> None:
        self.bucket.error = None


def make_world_in(nursery: trio.Nursery) -> World:
    bucket, doubted, wall_clock = Bucket(), [], [WALL_CLOCK]
    cache = Cache(bucket)
    make_tree = partial(
        Tree,
        bucket,
        cache,
        cache,
        nursery,
        settings=TreeSettings(),
        wall_clock=lambda: wall_clock[0],
        on_doubt=doubted.append,
    )
    return World(bucket, cache, nursery, make_tree(), doubted, wall_clock, make_tree)


@pytest.fixture
def world(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> World:
    """Tests that use it take `autojump_clock` as well."""
    answer_without_threads(monkeypatch)
    return make_world_in(nursery)


@pytest.fixture(scope="session")
def make_world() -> Callable[[trio.Nursery], World]:
    """For tests that run a trio loop for each of many examples."""
    return make_world_in
