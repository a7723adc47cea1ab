"""``ossfs-resume status``: how far files, directories and mounts are."""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click

from ossfs_resume.cli.mounted import Mounted, MountedAll, asked
from ossfs_resume.cli.outcome import Exit
from ossfs_resume.cli.places import Place, complain, find_all
from ossfs_resume.errors import MountError, OssfsError
from ossfs_resume.fuse.mounts import mounts

WATCH_S = 1.0
PLAIN_WIDTH = 1000
"""Where there is no terminal, lines are as long as they are."""
PLAIN_MAP_WIDTH = 76
"""Columns of a map where there is no terminal: what a mail or a ticket shows on one line."""

Document = dict[str, Any]
"""What is known of one path: ``path``, ``kind`` (file, directory or mount), the mount's ``source``,
and the values of attributes by name, or an ``error``."""


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH...]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
def status(paths: tuple[str, ...], as_json: bool, watch: bool) -> Exit:
    """Show what is cached of files and of all below directories, and the state of mounts.

    Without a PATH: all mounts of this user (for root: all mounts). The bucket is not listed: only
    files that were read or asked for are counted below a directory. The map of a file shows parts
    that are cached (#), partly cached (+), being fetched (>), queued (:) or absent (.). Exit
    status 1: a path or mount cannot be asked.
    """
    while True:
        documents, lost = _look(paths)
        _show(documents, as_json=as_json, is_again=watch, is_of_all=not paths)
        if not watch:
            failed = lost or any("error" in document for document in documents)
            return Exit.FAILURE if failed else Exit.SUCCESS
        time.sleep(WATCH_S)


def _look(paths: Sequence[str]) -> tuple[list[Document], int]:
    """Each time by new processes: a mount that hung may answer again, or be another one."""
    places, lost = find_all(paths) if paths else (list(_own_mounts()), 0)
    with asked() as mounted:
        return [_document(mounted, place) for place in places], lost


def _own_mounts() -> Iterator[Place]:
    """All mounts of this user, each once, whatever else it is bound to."""
    seen = set()
    for mount in mounts():
        device = (mount.major, mount.minor)
        is_own = os.geteuid() in (0, mount.user_id)
        if mount.is_ours and is_own and device not in seen:
            seen.add(device)
            yield Place(mount.mountpoint, mount.mountpoint, mount)


def _document(mounted: MountedAll, place: Place) -> Document:
    document: Document = {"path": place.name, "source": place.mount.source}
    try:
        return document | _facts(mounted.at(place), place)
    except OssfsError as error:
        kind = {"kind": "mount"} if _is_root(place) else {}
        return document | kind | {"error": str(error)}


def _facts(mount: Mounted, place: Place) -> Document:
    """Raises OssfsError."""

    def value(name: str) -> Any:
        text = mount.get(place, name)
        return None if text is None else json.loads(text)

    facts = {"status": value("status"), "job": value("job")}
    if _is_root(place):
        return {"kind": "mount", **facts, "stats": value("stats")}
    if facts["status"] is not None and "etag" not in facts["status"]:
        return {"kind": "directory", **facts}
    return {"kind": "file", **facts, "map": (mount.get(place, "map") or b"").decode()}


def _is_root(place: Place) -> bool:
    return place.path == place.mount.mountpoint


def _show(documents: Sequence[Document], *, as_json: bool, is_again: bool, is_of_all: bool) -> None:
    if as_json:
        print(json.dumps({"paths": documents}, indent=None if is_again else 1), flush=True)
        return
    from ossfs_resume.cli.status_text import text_of

    is_terminal = sys.stdout.isatty()
    size = shutil.get_terminal_size()
    width, map_width = (size.columns,) * 2 if is_terminal else (PLAIN_WIDTH, PLAIN_MAP_WIDTH)
    told = [document for document in documents if is_again or "error" not in document]
    lines = [line for document in told for line in (*text_of(document, width, map_width), "")][:-1]
    if not documents and is_of_all:
        lines = ["there are no mounts of ossfs-resume"]
    if is_again and is_terminal:
        # From the top, each line to its end, then what an earlier, longer text has left.
        lines = lines[: size.lines - 1]
        click.echo("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J", nl=False)
    else:
        click.echo("".join(f"{line}\n" for line in lines) + "\n" * is_again, nl=False)
    for document in documents:
        if document not in told:
            complain(MountError(document["error"]))
