"""``ossfs-resume mount``: make the file system and return when it answers."""

import logging
import signal
from collections.abc import Callable
from functools import partial

import click
import trio

from ossfs_resume.app import MountEvents, MountRequest
from ossfs_resume.app import mount as serve_mount
from ossfs_resume.cli import logs
from ossfs_resume.cli.background import run_in_background
from ossfs_resume.cli.notify import notify
from ossfs_resume.cli.options import gather, with_options
from ossfs_resume.cli.outcome import outcome
from ossfs_resume.config import parse_source
from ossfs_resume.errors import OssfsError

log = logging.getLogger(__name__)


@click.command()
@click.argument("source")
@click.argument("mountpoint")
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground.")
@with_options
def mount(
    source: str,
    mountpoint: str,
    foreground: bool,
    config: str | None,
    mount_options: tuple[str, ...],
    **flags: str | None,
) -> int:
    """Mount SOURCE (oss://BUCKET[/PREFIX]) on the empty directory MOUNTPOINT.

    The access key is taken from OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET (and
    OSS_SESSION_TOKEN) in the environment, or from where the official tools keep it; never from the
    command line. ossfs-resume check SOURCE says what works and what does not.
    """
    options = gather(flags, config, mount_options)
    request = MountRequest(parse_source(source), mountpoint, options)
    return start(request, foreground=foreground)


def start(request: MountRequest, *, foreground: bool) -> int:
    """Serve a mount to its end, or in the background and return once it answers.

    Raises SettingsError, MountError or CacheError; the exit status of a background process stands
    for what that has printed itself.
    """
    options = request.options
    start_log = partial(logs.configure, options.log_level, options.log_format, options.log_file)
    start_log(background=False)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # its default is to kill us, before we serve too
    if foreground:
        return _serve_in_foreground(request)
    status = run_in_background(partial(serve_in_background, request, start_log))
    if status == 0 and logs.goes_nowhere(options.log_file):
        click.echo(
            "ossfs-resume: nobody keeps the log of this mount: there is no system log"
            " (/dev/log); name a file with --log-file",
            err=True,
        )
    return status


def _serve_in_foreground(request: MountRequest) -> int:
    """Serve to the end, and tell a service manager of it."""
    what = f"{request.source} on {request.mountpoint}"
    events = MountEvents(
        on_ready=lambda: notify(READY="1", STATUS=f"mounted {what}"),
        on_stop=lambda: notify(STOPPING="1", STATUS=f"unmounting {what}"),
        on_hangup=logs.reopen,
        on_user_signal=logs.toggle_debug,
    )
    trio.run(serve_mount, request, events)
    return 0


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
        except Exception:
            log.exception("the mount of %s ended unexpectedly", request.source)
            raise

    try:
        return outcome(serve)
    finally:
        logging.shutdown()
