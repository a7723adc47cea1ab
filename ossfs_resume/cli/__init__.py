"""The command line: ``ossfs-resume``."""

import gc
import os
import sys
from functools import partial

import click

from ossfs_resume.cli import terminal
from ossfs_resume.cli.help import LazyCommands
from ossfs_resume.cli.outcome import outcome

gc.set_threshold(200_000)  # what is imported is no garbage; to look took a third of the time

PURPOSES = {
    "mount": "Mount a bucket, or a prefix of it, on an empty directory.",
    "umount": "Unmount a bucket; what has been downloaded stays in the cache.",
    "get": "Download objects to files without a mount, resuming earlier attempts.",
    "materialize": "Download files or directories into the cache, and wait for them.",
    "status": "Show how much of files and directories is cached, and how mounts are.",
    "pause": "Pause downloads, also across restarts.",
    "resume": "Go on with paused downloads.",
    "cancel": "Stop downloads; what has arrived stays in the cache.",
    "pin": "Download files or directories and keep them in the cache until unpin.",
    "unpin": "Allow pinned files to be removed when space is needed.",
    "evict": "Remove what is cached of files or directories.",
    "verify": "Compare what is cached with its checksums, in the background.",
    "refresh": "Make the next lookup ask the bucket.",
    "check": "Report what works with a bucket and what does not.",
    "cache": "List, check and clear the cache directory, mounted or not.",
    "emulate": "Serve a directory as an OSS bucket until Ctrl-C.",
}

MODULES = dict.fromkeys(
    ("pause", "resume", "cancel", "pin", "unpin", "evict", "verify", "refresh"), "verbs"
)


def _show_versions(context: click.Context, _option: click.Parameter, is_wanted: bool) -> None:
    if is_wanted and not context.resilient_parsing:
        from ossfs_resume.cli.versions import versions

        click.echo(versions())
        context.exit()


@click.group(
    cls=LazyCommands,
    purposes=PURPOSES,
    modules=MODULES,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "color": False if os.environ.get("NO_COLOR") else None,  # see no-color.org
    },
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_versions,
    help="Show the versions of ossfs-resume and of what it runs on.",
)
def commands() -> None:
    """Mount an Alibaba Cloud OSS bucket. Interrupted downloads are resumed."""


def main() -> None:
    """Run the command that the arguments name."""
    terminal.prepare()
    sys.exit(outcome(partial(commands.main, standalone_mode=False)))
