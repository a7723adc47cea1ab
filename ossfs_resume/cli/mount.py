"""``ossfs-resume mount``: make the file system and return when it answers."""

import click

from ossfs_resume.cli.options import WithTable, gather, with_options
from ossfs_resume.config import parse_source


@click.command(cls=WithTable)
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
    options, parsed = gather(flags, config, mount_options), parse_source(source)
    from ossfs_resume.app import MountRequest  # neither for help, nor for a slip
    from ossfs_resume.cli.serving import start

    return start(MountRequest(parsed, mountpoint, options), foreground=foreground)
