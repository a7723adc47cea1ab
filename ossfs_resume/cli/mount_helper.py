"""``mount.ossfs-resume``: what mount(8), and through it fstab, runs for this type.

mount(8) looks for ``mount.TYPE`` in /sbin alone, runs it as ``mount.TYPE SOURCE DIR [-sfnv] [-o
OPTIONS] [-t TYPE]`` with HOME unset, and takes its exit status for its own: 1 for wrong usage, 8
for an interrupt, 32 for a mount that failed (mount(8), "External helpers" and "Exit status").
"""

import sys
from dataclasses import dataclass
from getopt import GetoptError, gnu_getopt

import click

from ossfs_resume.app import MountRequest
from ossfs_resume.cli import terminal
from ossfs_resume.cli.options import gather
from ossfs_resume.cli.outcome import Exit, outcome
from ossfs_resume.cli.serving import start
from ossfs_resume.config import parse_source
from ossfs_resume.errors import SettingsError

USAGE = "usage: mount.ossfs-resume oss://BUCKET[/PREFIX] DIRECTORY [-fnsvrw] [-o OPTIONS] [-t TYPE]"
MOUNT_FAILURE = 32
STATUSES: dict[int, int] = {Exit.SUCCESS: 0, Exit.WRONG_USAGE: 1, Exit.INTERRUPTED: 8}


@dataclass(frozen=True, slots=True)
class Call:
    """What mount(8) asks for. Fake: check, and mount nothing. Sloppy: ignore unknown options."""

    source: str
    mountpoint: str
    options: tuple[str, ...]
    is_fake: bool
    is_sloppy: bool
    is_verbose: bool


def parse(arguments: list[str]) -> Call:
    """Raises SettingsError.

    ``-n``, ``-r`` and ``-w`` have no effect: there is no mtab, and the mount refuses every write by
    itself. ``-t`` repeats the name of this program.
    """
    try:
        flags, names = gnu_getopt(arguments, "fnsvrwo:t:")
    except GetoptError as error:
        raise SettingsError(f"{error}; {USAGE}") from None
    if len(names) != 2:
        raise SettingsError(USAGE)
    given = {flag for flag, _ in flags}
    options = tuple(value for flag, value in flags if flag == "-o")
    return Call(names[0], names[1], options, "-f" in given, "-s" in given, "-v" in given)


def run(arguments: list[str]) -> int:
    """Mount, and return when the mount answers."""
    call = parse(arguments)
    options = gather({}, None, call.options, sloppy=call.is_sloppy)
    source = parse_source(call.source)
    status = 0
    if not call.is_fake:
        status = start(MountRequest(source, call.mountpoint, options), foreground=False)
    if call.is_verbose and status == 0:
        click.echo(f"{source} is {'to be ' if call.is_fake else ''}mounted on {call.mountpoint}")
    return status


def main() -> None:
    """The program."""
    terminal.prepare()
    sys.exit(STATUSES.get(outcome(lambda: run(sys.argv[1:])), MOUNT_FAILURE))
