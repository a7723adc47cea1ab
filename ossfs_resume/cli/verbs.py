"""The commands that ask a mount for something and return at once."""

from collections.abc import Sequence

import click

from ossfs_resume.cli.mounted import asked
from ossfs_resume.cli.outcome import Exit
from ossfs_resume.cli.places import complain, find_all, given, with_paths
from ossfs_resume.errors import OssfsError


def _command(verb: str, text: str) -> click.Command:
    def run(paths: tuple[str, ...], list_file: str | None, is_null: bool) -> Exit:
        return perform(verb, given(paths, list_file, is_null))

    return click.command(name=verb, help=text)(with_paths(run))


def perform(verb: str, names: Sequence[str]) -> Exit:
    """Ask for it on every path; what fails is one line each, and the rest is done."""
    places, failed = find_all(names)
    with asked() as mounts:
        mounts.prepare(places)
        for place in places:
            try:
                mounts.at(place).set(place, verb)
            except OssfsError as error:
                complain(error)
                failed += 1
    return Exit.FAILURE if failed else Exit.SUCCESS


cancel = _command(
    "cancel",
    """Stop the downloads of files, or of all below directories.

    What has arrived stays in the cache.""",
)
pause = _command(
    "pause",
    """Pause the downloads of files, or of all below directories, until they are resumed.

    They stay paused across restarts.""",
)
resume = _command(
    "resume", "Go on with the paused downloads of files, or of all below directories."
)
pin = _command(
    "pin",
    """Download files, or all below directories, and keep them in the cache until unpin.

    Their space is reserved at once; the command fails if there is not enough.""",
)
unpin = _command(
    "unpin", "Allow pinned files, or all below directories, to be removed when space is needed."
)
evict = _command(
    "evict",
    """Remove what is cached of files, or of all below directories.

    For a file that is open or pinned this is an error; below a directory such files stay.""",
)
verify = _command(
    "verify",
    """Read what is cached from the disk again and compare it with its checksums.

    This is done in the background; ossfs-resume status PATH shows the result. Damaged parts are
    fetched again when they are needed.""",
)
refresh = _command(
    "refresh", "Make the next lookup of these paths ask the bucket, whatever --metadata-ttl is."
)
