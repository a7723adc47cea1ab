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
    """Stop the downloads that were asked for these paths, and for all below directories.

    What has arrived stays in the cache.""",
)
pause = _command(
    "pause",
    """Have the downloads of these paths, and of all below directories, wait until they are resumed.

    They wait after a restart, too.""",
)
resume = _command(
    "resume", "Go on with the downloads of these paths, and of all below directories, that wait."
)
pin = _command(
    "pin",
    """Download files, or all that is below directories, and keep them in the cache for good.

    Their space is reserved at once; the command fails if there is not enough.""",
)
unpin = _command("unpin", "Let go what was pinned; it stays until its space is needed.")
evict = _command(
    "evict",
    """Remove what is cached of files, or of all below directories.

    A file that is open or pinned is an error; below a directory such files stay.""",
)
verify = _command(
    "verify",
    """Read what is cached from the disk again and compare it with its checksums.

    That is done in the background; ossfs-resume status PATH says what was wrong. Damaged parts are
    fetched again when they are needed.""",
)
refresh = _command(
    "refresh", "Have the next lookup of these paths ask the bucket, whatever --metadata-ttl says."
)
