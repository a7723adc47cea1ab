"""The command line: ``ossfs-resume``."""

import sys
from functools import partial

import click

from ossfs_resume import __version__
from ossfs_resume.cli.cache import cache
from ossfs_resume.cli.check import check
from ossfs_resume.cli.emulate import emulate
from ossfs_resume.cli.mount import mount
from ossfs_resume.cli.outcome import outcome
from ossfs_resume.cli.umount import umount


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ossfs-resume")
def commands() -> None:
    """Mount an Alibaba Cloud OSS bucket. Downloads go on where they stopped."""


for command in (mount, umount, cache, check, emulate):
    commands.add_command(command)


def main() -> None:
    """Run the command that the arguments name."""
    sys.exit(outcome(partial(commands.main, standalone_mode=False)))
