"""The options of the configuration table, as command-line flags."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ossfs_resume.config import (
    CONFIG_WORD,
    Options,
    default_file,
    parse_mount_options,
    read_file,
    resolve,
)
from ossfs_resume.errors import SettingsError
from ossfs_resume.options import BY_NAME, GROUPS, OPTIONS, UNITS, Option

Command = TypeVar("Command", bound=Callable[..., Any])

_HEADINGS = {option.field: heading for heading, group in GROUPS.items() for option in group}


class WithTable(click.Command):
    """A command that has the options of the table, under its headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            is_option = isinstance(parameter, click.Option)
            if is_option and (record := parameter.get_help_record(ctx)):
                heading = _HEADINGS.get(parameter.name or "", "Options")
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)
        formatter.write_paragraph()
        formatter.write_text(UNITS.replace("\n", " "))


def with_options(command: Command) -> Command:
    """Give a command ``--config``, ``-o`` and a flag for every option of the table."""
    command = with_some_options(*(option.name for option in OPTIONS))(command)
    return click.option(
        "-o", "mount_options", metavar="OPT[,OPT=VALUE]", multiple=True,
        help="The same options as mount(8) and fstab write them.",
    )(command)  # fmt: skip


def with_some_options(*names: str) -> Callable[[Command], Command]:
    """Give a command ``--config`` and a flag for these options of the table."""

    def decorate(command: Command) -> Command:
        for name in reversed(names):
            command = _flag(BY_NAME[name])(command)
        return click.option("--config", metavar="FILE", help="TOML file with the same options.")(
            command
        )

    return decorate


def _flag(option: Option) -> Callable[[Command], Command]:
    if option.is_switch:
        return click.option(
            f"--{option.name}", option.field, flag_value="true", default=None, help=option.help
        )
    text = option.help + (f"  [default: {option.default}]" if option.default else "")
    return click.option(f"--{option.name}", option.field, metavar=option.metavar, help=text)


def gather(
    flags: dict[str, str | None],
    config: str | None,
    mount_options: tuple[str, ...] = (),
    *,
    sloppy: bool = False,
) -> Options:
    """Resolve what the command line was given. Raises SettingsError.

    The file is named by ``--config``, ``-o config=`` or ``OSSFS_CONFIG``. With ``sloppy`` unknown
    words of ``-o`` are left out, as mount(8) has it.
    """
    words = parse_mount_options(",".join(mount_options), sloppy=sloppy)
    if config is None:
        config = words.get(CONFIG_WORD, os.environ.get("OSSFS_CONFIG") or None)
    file, file_name = _file(config)
    chosen = {
        option.name: value for option in OPTIONS if (value := flags.get(option.field)) is not None
    }
    return resolve(chosen, words, os.environ, file, file_name)


def _file(config: str | None) -> tuple[dict[str, str], str]:
    """What the file says that was named, or else the usual one if it can be seen; and its name."""
    if config is not None:
        if not config.strip():
            raise SettingsError("--config: no value is given")
        return read_file(Path(config)), config
    try:
        path = default_file(os.environ)
    except SettingsError:  # no home, no file
        return {}, ""
    return (read_file(path) if os.path.exists(path) else {}), str(path)
