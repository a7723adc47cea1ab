"""``ossfs-resume mount``: make the file system and return when it answers."""

import click

from ossfs_resume.cli.options import WithTable, gather, with_options
from ossfs_resume.config import parse_source


@click.command(cls=WithTable)
@click.argument("source")
@click.argument("mountpoint")
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground.")
@click.option(
    "--materialize",
    "wanted",
    metavar="PATH",
    multiple=True,
    help="Download this once it is mounted: a path below MOUNTPOINT, / for all; may be repeated.",
)
@click.option("--wait", is_flag=True, help="Return when what --materialize names is cached.")
@with_options
def mount(
    source: str,
    mountpoint: str,
    foreground: bool,
    wanted: tuple[str, ...],
    wait: bool,
    config: str | None,
    mount_options: tuple[str, ...],
    **flags: str | None,
) -> int:
    """Mount SOURCE (oss://BUCKET[/PREFIX]) on the empty directory MOUNTPOINT.

    Returns when the mount answers. Exit status 1: it cannot be mounted; 2: an option or the
    configuration is wrong. With --materialize and --wait the exit status is that of ossfs-resume
    materialize, and the mount stays in any case.

    The access key is taken from OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET (and
    OSS_SESSION_TOKEN) in the environment, or from where the official tools keep it; never from the
    command line. ossfs-resume check SOURCE reports what works and what does not.
    """
    if wait and (foreground or not wanted):
        raise click.UsageError("--wait goes with --materialize, and not with --foreground")
    options, parsed = gather(flags, config, mount_options), parse_source(source)
    from ossfs_resume.app import MountRequest  # neither for help, nor for a slip
    from ossfs_resume.cli.serving import start

    request = MountRequest(parsed, mountpoint, options)
    if not wanted:
        return start(request, foreground=foreground)
    from ossfs_resume.cli.warming import materialize, materialize_soon, paths_in

    paths = paths_in(mountpoint, wanted)
    if foreground:
        return start(request, foreground=True, on_ready=lambda: materialize_soon(paths))
    return start(request, foreground=False) or materialize(paths, wait=wait)
