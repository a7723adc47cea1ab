"""How a group of commands shows its help, and imports its commands."""

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import click

from ossfs_resume.wording import did_you_mean


class Commands(click.Group):
    """Says the whole of what each command is for, on as many lines as that takes."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, self.purpose(ctx, name)) for name in self.list_commands(ctx)]
            )

    def purpose(self, ctx: click.Context, name: str) -> str:
        """What a command is for."""
        command = self.get_command(ctx, name)
        return command.get_short_help_str(limit=200) if command is not None else ""


class LazyCommands(Commands):
    """Imports a command when it is called: help and version are quick.

    It is ``NAME`` of ``cli.NAME``, or of the module that ``modules`` has for it.
    """

    def __init__(
        self,
        *arguments: Any,
        purposes: Mapping[str, str],
        modules: Mapping[str, str] = MappingProxyType({}),
        **more: Any,
    ) -> None:
        super().__init__(*arguments, **more)
        self._purposes = purposes
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._purposes)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._purposes:
            return None
        name = self._modules.get(cmd_name, cmd_name)
        module = importlib.import_module(f"ossfs_resume.cli.{name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self._purposes and not ctx.resilient_parsing:
            meant = did_you_mean(args[0], self._purposes)
            raise click.UsageError(f"no such command: {args[0]}; {meant}".rstrip("; "), ctx)
        return super().resolve_command(ctx, args)

    def purpose(self, ctx: click.Context, name: str) -> str:
        return self._purposes[name]
