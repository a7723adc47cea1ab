"""``ossfs-resume get``: objects to files, without a mount."""

from pathlib import Path

import click

from ossfs_resume.cli.options import WithTable, gather, with_some_options
from ossfs_resume.errors import SettingsError
from ossfs_resume.options import path

_OPTIONS = (
    "endpoint", "region", "addressing", "signature", "credentials", "credentials-process", "proxy",
    "ca-bundle", "request-payer", "part-size", "request-size", "connections", "bandwidth",
    "timeout", "log-level", "log-format", "log-file",
)  # fmt: skip


@click.command(cls=WithTable)
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@click.argument("dest")
@click.option(
    "-r", "--recursive", is_flag=True, help="SOURCE is a prefix: download all keys below it."
)
@click.option(
    "--include",
    multiple=True,
    metavar="GLOB",
    help="Below a prefix, only names that match; may be repeated.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help="Below a prefix, no names that match; may be repeated.",
)
@click.option(
    "--from-file",
    metavar="FILE",
    help="Further sources, one per line (- is standard input): oss://BUCKET/KEY, or names"
    " below the one SOURCE.",
)
@click.option("-n", "--no-clobber", is_flag=True, help="Leave existing files alone.")
@click.option(
    "-u",
    "--update",
    is_flag=True,
    help="Leave files alone that have the size of the object and are not older.",
)
@click.option(
    "--cache-dir",
    metavar="DIR",
    help="Copy what the cache of a mount has, and fetch the rest.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be downloaded.")
@click.option(
    "--no-wait",
    is_flag=True,
    help="Fail where another run downloads to the same file, instead of waiting for it.",
)
@click.option(
    "--output",
    type=click.Choice(["auto", "human", "json", "quiet"]),
    default="auto",
    help="auto, human: lines, with progress on a terminal; json: one document at the end; quiet:"
    " only errors.",
)
@with_some_options(*_OPTIONS)
def get(
    sources: tuple[str, ...],
    dest: str,
    recursive: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    from_file: str | None,
    no_clobber: bool,
    update: bool,
    cache_dir: str | None,
    dry_run: bool,
    no_wait: bool,
    output: str,
    config: str | None,
    **flags: str | None,
) -> int:
    """Download SOURCE (oss://BUCKET/KEY) to DEST: a file, a directory, or - for standard output.

    The same command again goes on where it stopped, whatever stopped it. DEST gets its name only
    when it is complete and has the bucket's checksum; until then what has arrived is kept in
    DEST.ossfs-part. The access key is found as for mount.
    """
    options = gather(flags, config)
    from ossfs_resume.cli.get_output import shown  # neither for help, nor for a slip
    from ossfs_resume.cli.get_run import Request, run
    from ossfs_resume.cli.get_sources import parse_sources
    from ossfs_resume.download.downloader import DOWNLOADS, Wishes
    from ossfs_resume.download.selection import Globs

    if not dest:
        raise SettingsError("no destination is given, its name is empty")
    if (include or exclude) and not recursive:
        raise SettingsError("--include and --exclude choose from what is below a prefix: give -r")
    parsed = parse_sources(sources, from_file, is_recursive=recursive)
    wishes = Wishes(
        no_clobber,
        update,
        dry_run,
        not no_wait,
        options.part_size,
        elsewhere=options.cache_dir / DOWNLOADS,
    )
    if dest == "-" and (output == "json" or recursive or no_clobber or update):
        raise SettingsError("what goes to standard output is bytes of objects, and no files")
    cache = None if cache_dir is None else path(cache_dir)
    request = Request(parsed, dest, recursive, Globs(include, exclude), wishes, options, cache)
    return run(request, shown(output, Path(dest)))
