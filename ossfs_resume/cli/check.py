"""``ossfs-resume check``: what works and what does not, one line a step."""

import json
from typing import TYPE_CHECKING

import click

from ossfs_resume.cli import logs
from ossfs_resume.cli.lines import printable
from ossfs_resume.cli.options import WithTable, gather, with_options
from ossfs_resume.cli.outcome import Exit
from ossfs_resume.config import parse_source

if TYPE_CHECKING:
    from ossfs_resume.checkup import Step

_COLOURS = {"ok": "green", "warning": "yellow", "wrong": "red"}


@click.command(cls=WithTable)
@click.argument("source")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@with_options
def check(
    source: str,
    as_json: bool,
    config: str | None,
    mount_options: tuple[str, ...],
    **flags: str | None,
) -> int:
    """Report what works with SOURCE (oss://BUCKET[/PREFIX or /KEY]) and what does not.

    Exit status 1: something is wrong. A warning changes nothing in it.
    """
    options = gather(flags, config, mount_options)
    parsed = parse_source(source)
    # What the log would say, the steps say themselves.
    level = "debug" if options.log_level == "debug" else "error"
    logs.configure(level, options.log_format, options.log_file, background=False)
    import trio  # neither for help, nor for a slip

    from ossfs_resume.checkup import check as run_checkup
    from ossfs_resume.origin import origin_settings

    settings = origin_settings(parsed, options)
    steps: list[Step] = []
    report = steps.append if as_json else _print
    is_well = trio.run(run_checkup, parsed, options, settings, report)
    if as_json:
        document = {
            "source": str(parsed),
            "endpoint": settings.endpoint.base_url,
            "region": settings.endpoint.region,
            "located_by": settings.located_by or "options",
            "ok": is_well,
            "steps": [
                {"step": step.name, "outcome": step.outcome, "text": step.text} for step in steps
            ],
        }
        print(json.dumps(document, indent=1))
    return Exit.SUCCESS if is_well else Exit.FAILURE


def _print(step: "Step") -> None:
    colour = _COLOURS.get(step.outcome)
    word = click.style(f"{step.outcome.upper():<8}", fg=colour)
    click.echo(f"{step.name:<12} {word} {printable(step.text)}")
