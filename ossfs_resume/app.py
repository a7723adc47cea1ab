"""Build everything, start it in the right order, and take it down in the right order.

Up: catalogue, connections, the first question to the bucket, then the mount; so a wrong key or
bucket is told before anything is mounted. Down: the readers that wait are let go, the mount ends,
then jobs and transfers, then the connections, last the catalogue, which writes what is left.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from math import inf

import trio

from ossfs_resume.cache.freeing import RemovalListener
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.remembered import DirectoryTime
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.config import Options, Source
from ossfs_resume.control.actions import Care, Errands, Pins
from ossfs_resume.control.jobs import Jobs
from ossfs_resume.control.overview import Overview
from ossfs_resume.control.xattrs import Verbs
from ossfs_resume.errors import MountError
from ossfs_resume.fetch.engine import Engine
from ossfs_resume.fetch.open_downloads import version_of
from ossfs_resume.fetch.settings import FetchSettings
from ossfs_resume.fuse.attributes import Ownership
from ossfs_resume.fuse.errno_map import sole_error
from ossfs_resume.fuse.invalidation import Invalidator
from ossfs_resume.fuse.kernel import KernelReport
from ossfs_resume.fuse.operations import Operations, OperationsSettings
from ossfs_resume.fuse.options import SessionSettings
from ossfs_resume.fuse.session import SessionEvents, serve
from ossfs_resume.memory import give_back_memory, spare_the_collector
from ossfs_resume.origin import origin_credentials, origin_settings
from ossfs_resume.oss.client import OfflineClient, OssClient
from ossfs_resume.oss.endpoint import Endpoint
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.startup import (
    FIRST_ANSWER_SECONDS,
    await_key,
    check_bucket,
    directory_times,
    noted_as_known,
    opened_store,
    room_in,
)
from ossfs_resume.supervision import kept_running
from ossfs_resume.vfs.models import OFFLINE_RECALL_S, RECALL_S, TreeSettings
from ossfs_resume.vfs.names import directory_prefix
from ossfs_resume.vfs.tree import Tree

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MountRequest:
    """What is to be mounted, where and how."""

    source: Source
    mountpoint: str
    options: Options


@dataclass(frozen=True, slots=True)
class MountEvents:
    """What is called when the mount answers, when it begins to end, at SIGHUP (after which a log
    file is opened anew) and at SIGUSR2."""

    on_ready: Callable[[], None]
    on_stop: Callable[[], None] = lambda: None
    on_hangup: Callable[[], None] = lambda: None
    on_user_signal: Callable[[], None] = lambda: None


async def mount(request: MountRequest, events: MountEvents) -> None:
    """Mount and serve until unmounted or told to stop.

    Raises SettingsError, MountError or CacheError.
    """
    options = request.options
    settings = origin_settings(request.source, options)
    if options.offline:
        await _mount_offline(request, settings.endpoint, events)
        return
    credentials = await origin_credentials(options, settings)
    log.debug("credentials from %s", credentials.origin)
    async with opened_store(settings.endpoint, options) as store:
        if store.notes.is_new:
            await await_key(credentials, request.source)
        async with settings.open(credentials, timeout_s=FIRST_ANSWER_SECONDS) as client:
            is_known = not store.notes.is_new
            await check_bucket(
                client, request.source, settings.endpoint, options, is_known=is_known
            )
        async with settings.open(credentials) as client, noted_as_known(store.notes) as mounted:

            def ready() -> None:
                mounted()
                events.on_ready()

            await _serve(request, store, client, replace(events, on_ready=ready))


async def _mount_offline(request: MountRequest, endpoint: Endpoint, events: MountEvents) -> None:
    """Serve what the cache has; neither credentials nor a network are needed."""
    async with opened_store(endpoint, request.options) as store:
        if store.notes.is_new:
            raise MountError(
                f"{request.source}: never mounted with this cache directory, "
                "there is nothing to show offline"
            )
        await _serve(request, store, OfflineClient(), events)


async def _serve(
    request: MountRequest,
    store: CacheStore,
    client: OssClient | OfflineClient,
    events: MountEvents,
) -> None:
    times = await directory_times(store)
    room = await room_in(store, request.options)
    spare_the_collector()
    try:
        async with trio.open_nursery() as nursery:
            mounted = _Mounted(request, store, client, nursery, times, room)
            await nursery.start(mounted.engine.run)
            await nursery.start(mounted.jobs.run)
            nursery.start_soon(kept_running, "giving back memory", give_back_memory)
            await mounted.serve(events)
            nursery.cancel_scope.cancel()
    except ExceptionGroup as group:
        raise sole_error(group) from group


class _Mounted:
    """All that lives as long as the mount, tied together."""

    def __init__(
        self,
        request: MountRequest,
        store: CacheStore,
        client: OssClient | OfflineClient,
        nursery: trio.Nursery,
        times: Mapping[str, DirectoryTime],
        room: int,
    ) -> None:
        options = request.options
        self._request = request
        self._prefix = directory_prefix(request.source.prefix)
        self._client = client
        self._store = store
        self._kernel: KernelReport | None = None
        self._invalidator = Invalidator()
        self.engine = Engine(
            client,
            store,
            fetch_settings(options, room),
            self._on_discarded,
            client.concurrency,
            client.superseded,
            on_growing=lambda meta: self._tree.grows(version_of(meta)),
            in_thread=True,
        )
        self._tree = Tree(
            client,
            self.engine,
            store,
            nursery,
            prefix=request.source.prefix,
            settings=TreeSettings(
                options.metadata_ttl,
                options.negative_ttl,
                options.timeout or inf,
                OFFLINE_RECALL_S if options.offline else RECALL_S,
            ),
            keeper=store.notes,
            times=times,
            on_doubt=self._invalidator.attributes,
        )
        store.keeper.listen(
            removed=hopping(self._on_removed),
            bad=hopping(self._on_bad),
            distrusted=hopping(self._on_distrust),
        )
        self.jobs = Jobs(
            client,
            self.engine,
            store.notes,
            self._require_room,
            self._prefix,
        )
        pins = Pins(client, store.keeper, self.jobs, Errands(nursery))
        care = Care(self._tree, self.engine, store.keeper, nursery, self._discard)
        verbs = Verbs(
            self._tree,
            self.engine,
            store,
            self.jobs,
            options.part_size,
            self._statistics,
            pins,
            care,
            Overview(store.keeper, self.jobs, care),
            client.failing,
        )
        ownership = Ownership(
            options.uid,
            options.gid,
            options.umask,
            options.file_mode,
            options.dir_mode,
            options.control_group,
        )
        self._operations = Operations(
            self._tree, verbs, OperationsSettings(ownership), self._invalidator
        )

    async def serve(self, events: MountEvents) -> None:
        """Mount, and return when it is unmounted."""
        request = self._request

        def ready(report: KernelReport) -> None:
            self._kernel = report
            events.on_ready()
            log.info("%s is mounted on %s", request.source, request.mountpoint)

        def stop() -> None:
            events.on_stop()
            self.engine.stop()

        session = SessionSettings(
            str(request.source),
            request.mountpoint,
            request.options.allow_other,
            options=("noexec",) if request.options.noexec else (),
        )
        await serve(
            self._operations,
            session,
            SessionEvents(
                on_ready=ready,
                on_stop=stop,
                on_hangup=events.on_hangup,
                on_user_signal=events.on_user_signal,
            ),
        )

    async def _require_room(self, key: str, size: int) -> None:
        await trio.to_thread.run_sync(self._store.keeper.require_room, key, size)

    def _on_discarded(self, meta: ObjectMeta) -> None:
        self._discard(version_of(meta))

    def _on_bad(self, versions: Sequence[ObjectVersion]) -> None:
        for version in versions:
            self._discard(version)

    def _on_distrust(self, versions: Sequence[ObjectVersion]) -> None:
        """Who reads goes on, for every part is compared again; what the kernel kept is not."""
        for version in versions:
            self._invalidator.data(self._tree.inode_of(version))

    def _discard(self, version: ObjectVersion) -> None:
        """Its cached bytes were bad, and so may be the kernel's copies of them."""
        self._invalidator.data(self._tree.incarnation_changed(version))

    def _on_removed(self, removed: Sequence[ObjectVersion]) -> None:
        """Good bytes went: only what is cached of it has changed. The kernel's pages go when it is
        opened next."""
        for version in removed:
            self._invalidator.attributes(self._tree.inode_of(version))

    def _statistics(self) -> dict[str, object]:
        return {
            "source": str(self._request.source),
            "mountpoint": self._request.mountpoint,
            "pid": os.getpid(),
            "offline": self._request.options.offline,
            "origin": asdict(self._client.statistics()),
            "fetch": asdict(self.engine.statistics()),
            "cache": self._cache_statistics(),
            "tree": asdict(self._tree.statistics()),
            "jobs": self.jobs.below(self._prefix).counts(),
            "kernel": self._kernel and self._kernel.document(),
        }

    def _cache_statistics(self) -> dict[str, object]:
        statistics = self._store.statistics()
        error = self.engine.cache_error or statistics.error
        options = self._request.options
        return asdict(replace(statistics, error=error)) | {
            "directory": str(options.cache_dir),
            "limit_bytes": options.cache_size,
        }


def hopping(
    receive: Callable[[Sequence[ObjectVersion]], None],
) -> RemovalListener:
    """Hand what a thread of the cache says to ``receive`` on this event loop."""
    token = trio.lowlevel.current_trio_token()

    def listener(removed: Sequence[ObjectVersion]) -> None:
        # The loop has ended: nobody has a copy any more.
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(receive, removed)

    return listener


def fetch_settings(options: Options, room: int) -> FetchSettings:
    """The engine's share of the options; what is read ahead fits into the cache's ``room``."""
    return FetchSettings(
        timeout_s=options.timeout,
        connections=options.connections,
        request_bytes=options.request_size,
        read_ahead_bytes=options.read_ahead,
        room_bytes=room,
        bandwidth=options.bandwidth,
        background_bandwidth=options.background_bandwidth,
        predicts=not options.offline,
    )
