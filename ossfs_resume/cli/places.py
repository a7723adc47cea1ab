"""Paths that a command is given, and the mounts of ours that they lie on.

The mount table says which mount that is, and asks none of them: one that hangs hangs nobody here.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from ossfs_resume.cli.lines import printable
from ossfs_resume.errors import MountError, OssfsError, SettingsError
from ossfs_resume.fuse.mounts import Mount, mount_of, mounts
from ossfs_resume.options import NO_WORKING_DIRECTORY
from ossfs_resume.wording import quoted, reason

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Place:
    """A path on one of our mounts: as it was given, and absolute."""

    name: str
    path: str
    mount: Mount


def with_paths(command: Command) -> Command:
    """Give a command its PATHs: arguments, or a list of them."""
    for option in (
        click.option("-0", "--null", "is_null", is_flag=True, help="The names in LIST end in NUL."),
        click.option(
            "--from-file",
            "list_file",
            metavar="LIST",
            help="File with one path per line; - is standard input.",
        ),
        click.argument("paths", nargs=-1, metavar="PATH..."),
    ):
        command = option(command)
    return command


def given(paths: Sequence[str], list_file: str | None, is_null: bool) -> list[str]:
    """All paths that were named. Raises UsageError if none could be, SettingsError."""
    if not paths and list_file is None:
        raise click.UsageError("name a PATH, or a list of them with --from-file")
    return [*paths, *(_read_list(list_file, is_null) if list_file is not None else ())]


def _read_list(file: str, is_null: bool) -> list[str]:
    try:
        text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise SettingsError(f"--from-file: {reason(error)}") from error
    return [os.fsdecode(name) for name in text.split(b"\0" if is_null else b"\n") if name]


def find(name: str, table: Sequence[Mount]) -> Place:
    """Where a path leads. Raises MountError if that is no mount of ours, SettingsError."""
    if not name:
        raise MountError("an empty name is no path")
    try:
        path = os.path.abspath(name)
    except FileNotFoundError:
        raise SettingsError(f"{name}: {NO_WORKING_DIRECTORY}") from None
    mount = mount_of(path, table)
    if mount is None or not mount.is_ours:
        path = os.path.realpath(path)  # what lies elsewhere may be a link to us
        mount = mount_of(path, table)
    if mount is None or not mount.is_ours:
        if not os.path.lexists(path):
            raise MountError(f"{quoted(name)}: no such file or directory")
        raise MountError(f"{quoted(name)} is on no mount of ossfs-resume")
    return Place(name, path, mount)


def find_all(names: Sequence[str]) -> tuple[list[Place], int]:
    """The places of all names, and how many have none; why is told on stderr."""
    table = mounts()
    places, lost = [], 0
    for name in names:
        try:
            places.append(find(name, table))
        except MountError as error:
            complain(error)
            lost += 1
    return places, lost


def complain(error: OssfsError) -> None:
    """One line on stderr."""
    click.echo(f"ossfs-resume: {printable(str(error))}", err=True)
