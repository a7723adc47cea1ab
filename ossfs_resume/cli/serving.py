"""Serve a mount, in the foreground or behind the command that returns when the mount answers."""

import logging
import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import click
import trio

from ossfs_resume.app import MountEvents, MountRequest
from ossfs_resume.app import mount as serve_mount
from ossfs_resume.cli import logs
from ossfs_resume.cli.background import (
    close_inherited_descriptors,
    fill_standard_descriptors,
    run_in_background,
)
from ossfs_resume.cli.notify import notify
from ossfs_resume.cli.outcome import outcome
from ossfs_resume.config import Options
from ossfs_resume.errors import OssfsError, SettingsError
from ossfs_resume.options import NO_WORKING_DIRECTORY
from ossfs_resume.shortages import log_failure, shortage

log = logging.getLogger(__name__)

MOST_FILES = 65_536
"""More is no use, and some programs that are started look at every number below the limit."""


def start(
    request: MountRequest, *, foreground: bool, on_ready: Callable[[], None] = lambda: None
) -> int:
    """Serve a mount to its end, or in the background and return once it answers.

    In the foreground ``on_ready`` is called when it answers, and must not wait.

    Raises SettingsError, MountError or CacheError; the exit status of a background process stands
    for what that has printed itself.
    """
    options = request.options
    check_places(request.mountpoint, options)
    fill_standard_descriptors()
    if not foreground:
        close_inherited_descriptors()
    start_log = partial(logs.configure, options.log_level, options.log_format, options.log_file)
    start_log(background=False)
    raise_file_limit()
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # its default is to kill us, before we serve too
    if foreground:
        return _serve_in_foreground(request, on_ready)
    status = run_in_background(partial(serve_in_background, request, start_log))
    if status == 0 and logs.goes_nowhere(options.log_file):
        click.echo(
            "ossfs-resume: the log of this mount is not kept, since there is no system log"
            " (/dev/log); name a file with --log-file",
            err=True,
        )
    return status


def raise_file_limit() -> None:
    """The usual limit of 1024 is for programs that use select(2); we need a descriptor for each
    file that is read, and one for each connection."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, MOST_FILES), most))


def _serve_in_foreground(request: MountRequest, on_ready: Callable[[], None]) -> int:
    """Serve to the end, and tell a service manager of it."""
    what = f"{request.source} on {request.mountpoint}"

    def ready() -> None:
        notify(READY="1", STATUS=f"mounted {what}")
        on_ready()

    events = MountEvents(
        on_ready=ready,
        on_stop=lambda: notify(STOPPING="1", STATUS=f"unmounting {what}"),
        on_hangup=logs.reopen,
        on_user_signal=logs.toggle_debug,
    )
    trio.run(serve_mount, request, events)
    return 0


def check_places(mountpoint: str, options: Options) -> None:
    """Refuse what would lie in or upon the mount itself, and what has no meaning.

    The mount point itself is not looked at: what is mounted there may hang. Raises SettingsError.
    """
    if options.control_group is not None and not options.allow_other:
        raise SettingsError("--control-group: without --allow-other nobody of it sees the mount")
    if not mountpoint:
        raise SettingsError("no mount point is given, its name is empty")
    point, cache = resolved(mountpoint), resolved(options.cache_dir)
    for name, inner in (("--cache-dir", options.cache_dir), ("--log-file", options.log_file)):
        if inner is not None and is_inside(inner, mountpoint):
            raise SettingsError(f"{name}: {inner} lies inside the mount point {point}")
    if point.is_relative_to(cache):
        raise SettingsError(f"the mount point {point} lies inside the cache directory {cache}")


def is_inside(inner: Path, mountpoint: str) -> bool:
    """Whether a path leads through a mount point, as it is written or as its links lead."""
    is_written = inner.is_relative_to(os.path.abspath(mountpoint))
    return is_written or resolved(inner).is_relative_to(resolved(mountpoint))


def resolved(path: str | Path) -> Path:
    """Absolute, without links but for its last name. Raises SettingsError."""
    try:
        above, name = os.path.split(os.path.abspath(path))
    except FileNotFoundError:
        raise SettingsError(f"{path}: {NO_WORKING_DIRECTORY}") from None
    return Path(os.path.realpath(above), name)


def serve_in_background(
    request: MountRequest, start_log: Callable[..., None], ready: Callable[[], None]
) -> int:
    """Serve to the end; once the terminal is gone, the log says how it ended."""
    is_ready = False

    def became_ready() -> None:
        nonlocal is_ready
        start_log(background=True)
        ready()
        is_ready = True

    def serve() -> None:
        try:
            events = MountEvents(
                became_ready, on_hangup=logs.reopen, on_user_signal=logs.toggle_debug
            )
            trio.run(serve_mount, request, events)
        except OssfsError as error:
            if is_ready:
                log.error("%s: %s", request.source, error)
            raise
        except Exception as error:
            if is_ready or not shortage(error):
                log_failure(log, f"the mount of {request.source}", error)
            raise

    try:
        return outcome(serve)
    finally:
        logging.shutdown()
