"""Build everything, start it in the right order, and take it down in the right order.

Up: catalogue, connections, the first question to the bucket, then the mount; so a wrong key or
bucket is told before anything is mounted. Down: the readers that wait are let go, the mount ends,
then jobs and transfers, then the connections, last the catalogue, which writes what is left.
"""

import gc
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace

import trio

from ossfs_resume.cache.models import CacheSettings, ObjectVersion
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.config import Options, Source
from ossfs_resume.control.jobs import Jobs
from ossfs_resume.control.verbs import Verbs
from ossfs_resume.errors import MountError, OriginError, TransientError
from ossfs_resume.fetch.engine import Engine, FetchSettings, version_of
from ossfs_resume.fuse.attributes import Ownership
from ossfs_resume.fuse.errno_map import sole_error
from ossfs_resume.fuse.invalidation import Invalidator
from ossfs_resume.fuse.kernel import KernelReport
from ossfs_resume.fuse.operations import Operations, OperationsSettings
from ossfs_resume.fuse.options import SessionSettings
from ossfs_resume.fuse.session import serve
from ossfs_resume.oss.client import ClientSettings, OssClient
from ossfs_resume.oss.credentials import from_environment
from ossfs_resume.oss.endpoint import Endpoint, cache_identity, parse_endpoint
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.vfs.models import TreeSettings
from ossfs_resume.vfs.tree import Tree

log = logging.getLogger(__name__)

FIRST_ANSWER_SECONDS = 5.0
"""How long `mount` waits for the bucket before it calls the endpoint unreachable."""


@dataclass(frozen=True, slots=True)
class MountRequest:
    """What is to be mounted, where and how."""

    source: Source
    mountpoint: str
    options: Options


async def mount(request: MountRequest, on_ready: Callable[[], None]) -> None:
    """Mount and serve until unmounted or told to stop.

    ``on_ready`` is called once the mount answers. Raises SettingsError, MountError or CacheError.
    """
    options = request.options
    endpoint = parse_endpoint(
        request.source.bucket, options.endpoint or "", options.region or "", options.addressing
    )
    credentials = from_environment(os.environ)
    settings = ClientSettings(
        endpoint, options.timeout, options.connections, request_payer=options.request_payer
    )
    hurried = replace(settings, timeout_s=FIRST_ANSWER_SECONDS)
    async with opened_store(endpoint, options) as store:
        async with OssClient(hurried, credentials) as client:
            await check_bucket(client, request.source, is_known=not store.is_new)
        async with OssClient(settings, credentials) as client:
            await trio.to_thread.run_sync(store.mark_known)
            await _serve(request, store, client, on_ready)


@asynccontextmanager
async def opened_store(endpoint: Endpoint, options: Options) -> AsyncIterator[CacheStore]:
    """The cache of this bucket; written out and closed at the end, whatever happens."""
    settings = CacheSettings(options.cache_dir, cache_identity(endpoint), options.part_size)
    store = await trio.to_thread.run_sync(CacheStore.open, settings)
    try:
        yield store
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(store.close)


async def check_bucket(client: OssClient, source: Source, *, is_known: bool) -> None:
    """Ask for one key, to tell a wrong setting before it becomes an I/O error in a mount.

    A bucket that the cache knows is mounted without an answer, with a warning. Raises MountError.
    """
    try:
        await client.list_page(source.prefix, max_keys=1)
    except TransientError as error:
        if not is_known:
            raise MountError(f"{source}: {error}; check --endpoint and the network") from error
        log.warning("%s: %s; mounting what the cache has", source, error)
    except OriginError as error:
        raise MountError(f"{source}: {error}") from error


async def _serve(
    request: MountRequest, store: CacheStore, client: OssClient, on_ready: Callable[[], None]
) -> None:
    incarnations = await trio.to_thread.run_sync(store.incarnations)
    spare_the_collector()
    try:
        async with trio.open_nursery() as nursery:
            mounted = _Mounted(request, store, client, nursery, incarnations)
            await nursery.start(mounted.engine.run)
            await nursery.start(mounted.jobs.run)
            await mounted.serve(on_ready)
            nursery.cancel_scope.cancel()
    except ExceptionGroup as group:
        raise sole_error(group) from group


class _Mounted:
    """All that lives as long as the mount, tied together."""

    def __init__(
        self,
        request: MountRequest,
        store: CacheStore,
        client: OssClient,
        nursery: trio.Nursery,
        incarnations: Mapping[ObjectVersion, int],
    ) -> None:
        options = request.options
        self._request = request
        self._client = client
        self._store = store
        self._invalidator = Invalidator()
        self.engine = Engine(
            client,
            store,
            fetch_settings(options),
            self._on_discarded,
            client.concurrency,
            client.superseded,
        )
        self._tree = Tree(
            client,
            self.engine,
            store,
            nursery,
            incarnations=incarnations,
            prefix=request.source.prefix,
            settings=TreeSettings(options.metadata_ttl, options.negative_ttl),
            on_superseded=self._on_superseded,
        )
        self.jobs = Jobs(client, self.engine, store)
        verbs = Verbs(
            self._tree, self.engine, store, self.jobs, options.part_size, self._statistics
        )
        ownership = Ownership(options.uid, options.gid, options.umask)
        self._operations = Operations(
            self._tree, verbs, OperationsSettings(ownership), self._invalidator
        )

    async def serve(self, on_ready: Callable[[], None]) -> None:
        """Mount, and return when it is unmounted."""
        request = self._request

        def ready(report: KernelReport) -> None:
            on_ready()
            log.info("%s is mounted on %s", request.source, request.mountpoint)

        session = SessionSettings(
            str(request.source), request.mountpoint, request.options.allow_other
        )
        await serve(self._operations, session, on_ready=ready, on_stop=self.engine.stop)

    def _on_discarded(self, meta: ObjectMeta) -> None:
        self._invalidator.data(self._tree.incarnation_changed(version_of(meta)))

    def _on_superseded(self, parent: int, name: bytes, inode: int) -> None:
        self._invalidator.entry(parent, name)

    def _statistics(self) -> dict[str, object]:
        return {
            "source": str(self._request.source),
            "pid": os.getpid(),
            "origin": asdict(self._client.statistics()),
            "fetch": asdict(self.engine.statistics()),
            "cache": asdict(self._store.statistics()),
            "tree": asdict(self._tree.statistics()),
        }


def spare_the_collector() -> None:
    """Keep Python's cycle collector from walking hundreds of thousands of names again and again.

    Listing 100 000 names spent a third of its time there with the default thresholds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def fetch_settings(options: Options) -> FetchSettings:
    """The engine's share of the options."""
    return FetchSettings(
        timeout_s=options.timeout,
        part_bytes=options.part_size,
        connections=options.connections,
        request_bytes=options.request_size,
        read_ahead_bytes=options.read_ahead,
        bandwidth=options.bandwidth,
        background_bandwidth=options.background_bandwidth,
    )
