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
    "mount": "Mount a bucket, or a part of one, on an empty directory.",
    "umount": "Unmount it; what has been downloaded stays in the cache.",
    "get": "Download objects to files, without a mount; again goes on where it stopped.",
    "materialize": "Download files or directories into the cache, and wait for them.",
    "status": "Say how far files, directories and mounts are.",
    "pause": "Have downloads wait, over restarts too.",
    "resume": "Go on with downloads that wait.",
    "cancel": "Stop downloads; what has arrived stays in the cache.",
    "pin": "Download, and keep in the cache for good.",
    "unpin": "Let it go again when space is needed.",
    "evict": "Remove what is cached of files or directories.",
    "verify": "Compare what is cached with its checksums, in the background.",
    "refresh": "Have the next lookup ask the bucket.",
    "check": "Say what works with a bucket and what does not.",
    "cache": "Look after the cache directory, mounted or not.",
    "emulate": "Serve a directory as an OSS bucket, until Ctrl-C.",
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
    help="Show this version and those of what it runs on.",
)
def commands() -> None:
    """Mount an Alibaba Cloud OSS bucket. Downloads go on where they stopped."""


def main() -> None:
    """Run the command that the arguments name."""
    terminal.prepare()
    sys.exit(outcome(partial(commands.main, standalone_mode=False)))
