"""``ossfs-resume materialize``: download files or directories, and wait until they are here."""

import click

from ossfs_resume.cli.outcome import Exit
from ossfs_resume.cli.places import find_all, given, with_paths
from ossfs_resume.cli.verbs import perform
from ossfs_resume.cli.views import OUTPUTS, view_for
from ossfs_resume.cli.waiting import materialize as materialize_places
from ossfs_resume.wording import quoted

MOST_NAMED = 5


@click.command()
@with_paths
@click.option("--no-wait", is_flag=True, help="Return at once; the mount downloads by itself.")
@click.option(
    "--output", type=click.Choice(OUTPUTS), default="auto", show_default=True,
    help="auto, human: bars on a terminal, lines elsewhere; json: JSON lines; quiet: only errors.",
)  # fmt: skip
def materialize(
    paths: tuple[str, ...], list_file: str | None, is_null: bool, no_wait: bool, output: str
) -> Exit:
    """Download files, or all below directories, into the cache.

    The mount does it in the background and goes on after a restart; this command shows how far it
    is. Ctrl-C ends the command, not the download: see ossfs-resume cancel. Exit status 0: all is
    here; 1: something failed; 130: interrupted.
    """
    names = given(paths, list_file, is_null)
    if no_wait:
        return perform("materialize", names)
    places, lost = find_all(names)
    if not places:
        return Exit.FAILURE if lost else Exit.SUCCESS
    status = materialize_places(places, view_for(output), _cancelling(paths, list_file, is_null))
    return status or (Exit.FAILURE if lost else Exit.SUCCESS)


def _cancelling(paths: tuple[str, ...], list_file: str | None, is_null: bool) -> str:
    """The arguments of the command that cancels it."""
    words = [quoted(name) for name in paths]
    if len(words) > MOST_NAMED or list_file == "-":
        return "PATH..."
    if list_file is not None:
        words += ["-0"] * is_null + ["--from-file", quoted(list_file)]
    return " ".join(words)
