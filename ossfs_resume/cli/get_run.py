"""Runs ``get`` to its exit status: options to a client, sources to files, signals to an end."""

import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import trio

from ossfs_resume.cli import logs
from ossfs_resume.cli.get_output import Shown
from ossfs_resume.cli.get_sources import Sources
from ossfs_resume.cli.outcome import Exit
from ossfs_resume.config import Options, Source
from ossfs_resume.download.downloader import Downloader, Wishes
from ossfs_resume.download.groups import one_error
from ossfs_resume.download.mount_cache import MountCache
from ossfs_resume.download.output import write_to
from ossfs_resume.download.report import Outcome, Report, Result
from ossfs_resume.download.run import Wanted, download_all
from ossfs_resume.download.selection import Globs, Selection
from ossfs_resume.download.session import downloading
from ossfs_resume.errors import OssfsError, SettingsError
from ossfs_resume.fetch.settings import FetchSettings
from ossfs_resume.origin import origin_credentials, origin_settings
from ossfs_resume.oss.client import OssClient
from ossfs_resume.oss.endpoint import cache_identity
from ossfs_resume.oss.outage import log as outage_log

MOST_AT_ONCE = 32
"""Small objects, which are in memory meanwhile."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line says."""

    sources: Sources
    dest: str
    is_recursive: bool
    globs: Globs
    wishes: Wishes
    options: Options
    cache_dir: Path | None = None
    """Of mounts, to take from what it has."""


def run(request: Request, shown: Shown) -> int:
    """Download, show it, and return the exit status. Raises SettingsError."""
    _configure_log(request.options, shown)
    with one_error():
        return trio.run(_run, request, shown)


def _configure_log(options: Options, shown: Shown) -> None:
    """What goes wrong is told by the command itself, once."""
    if options.log_level == "debug" or options.log_file is not None:
        level = options.log_level
        logs.configure(level, options.log_format, options.log_file, background=False)
    else:
        logging.getLogger("ossfs_resume").addHandler(logging.NullHandler())
        outage_log.setLevel(logging.INFO)
        outage_log.addHandler(_OutageShown(shown.report))


class _OutageShown(logging.Handler):
    """Somebody waits at a terminal, and wants to know what for."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        is_over = record.levelno < logging.WARNING
        # The rest of a warning is about mounts.
        line = record.getMessage().partition(";")[0]
        self._report.say(line if is_over else f"{line}; trying again")


async def _run(request: Request, shown: Shown) -> int:
    with trio.CancelScope() as scope:
        try:
            with one_error():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_end_on_signal, scope)
                    nursery.start_soon(shown.show_progress)
                    await _download(request, shown.report)
                    nursery.cancel_scope.cancel()
        except SettingsError:
            raise
        except OssfsError as error:
            shown.fail(error)
    shown.end(is_interrupted=scope.cancelled_caught)
    if scope.cancelled_caught:
        return Exit.INTERRUPTED
    return Exit.FAILURE if shown.has_failed else Exit.SUCCESS


async def _end_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for _ in signals:
            scope.cancel()
            return


async def _download(request: Request, report: Report) -> None:
    options = request.options
    settings = origin_settings(Source(request.sources.bucket, ""), options)
    credentials = await origin_credentials(options, settings)
    fetch = FetchSettings(
        timeout_s=options.timeout,
        connections=options.connections,
        request_bytes=options.request_size,
        bandwidth=options.bandwidth,
        predicts=False,
    )
    cache = MountCache(request.cache_dir, cache_identity(settings.endpoint))
    async with (
        settings.open(credentials) as client,
        downloading(client, fetch, request.wishes, report, cache) as downloader,
    ):
        if request.dest == "-":
            await _print(request, downloader)
        else:
            at_once = min(options.connections, MOST_AT_ONCE)
            await download_all(downloader, _wanted(request, client, report), at_once)


async def _print(request: Request, downloader: Downloader) -> None:
    for key in request.sources.keys:
        meta = await downloader.head(key)
        downloader.report.total += meta.size
        await write_to(sys.stdout.fileno(), downloader.engine, meta, downloader.report)
        downloader.report.ended(Result(key, Path("-"), Outcome.DOWNLOADED, meta.size))


async def _is_directory(dest: Path) -> bool:
    return await trio.to_thread.run_sync(os.path.isdir, dest)


async def _wanted(request: Request, client: OssClient, report: Report) -> AsyncIterator[Wanted]:
    sources, dest = request.sources, Path(request.dest)
    selection = Selection(client.list_page, dest, request.globs, report)
    if request.is_recursive:
        for prefix in sources.keys:
            is_whole = not prefix or prefix.endswith("/")
            async for wanted in selection.below(prefix if is_whole else prefix + "/"):
                yield wanted
    elif sources.are_many or request.dest.endswith("/") or await _is_directory(dest):
        named = [(key, key.rpartition("/")[2]) for key in sources.keys]
        named += [(sources.base + name, name) for name in sources.names]
        for key, name in named:
            if (one := selection.named(key, name)) is not None:
                yield one
    else:
        yield Wanted(sources.keys[0], dest)
