"""``ossfs-resume umount``: take a mount down as whoever made it may."""

import os
import select
from collections.abc import Iterator
from contextlib import ExitStack

import click

from ossfs_resume.cli.lines import printable
from ossfs_resume.errors import InUse, MountError
from ossfs_resume.fuse import dead_mounts, owners
from ossfs_resume.fuse.mounts import Mount, mount_at, resolve, unmount, users_elsewhere
from ossfs_resume.fuse.owners import Owner
from ossfs_resume.wording import quoted

_END_LIMIT_S = 5.0
"""A process that stops gives its readers two seconds, and writes down what it has."""


@click.command()
@click.argument("mountpoint")
@click.option("-l", "--lazy", is_flag=True, help="Detach now, even if it is in use.")
def umount(mountpoint: str, lazy: bool) -> None:
    """Unmount MOUNTPOINT; what has been downloaded stays in the cache.

    Returns when the cache is free for the next mount, or says what keeps it.
    """
    path = resolve(mountpoint)
    mount = _ours(path)
    if dead_mounts.clear(path) != mount:
        return  # it was dead
    with ExitStack() as stack:
        owner = owners.owner_of(mount)
        process = _open_process(owner)
        if process is not None:
            stack.callback(os.close, process)
        _unmount(path, lazy=lazy)
        if owner is not None:
            for line in _what_keeps(mount, owner, process):
                click.echo(f"ossfs-resume: {printable(line)}", err=True)


def _ours(path: str) -> Mount:
    mount = mount_at(path)
    if mount is None:
        raise MountError(f"{path} is not mounted")
    if not mount.is_ours:
        raise MountError(
            f"{path} is a mount of {mount.source} ({mount.file_system_type}), none of ours; "
            f"to unmount it: umount {quoted(path)}"
        )
    return mount


def _unmount(path: str, *, lazy: bool) -> None:
    try:
        unmount(path, lazy=lazy)
    except InUse as error:
        name = quoted(path)
        raise InUse(
            f"{path} is in use (fuser -vm {name} shows by whom); close that, "
            f"or: ossfs-resume umount --lazy {name}"
        ) from error


def _open_process(owner: Owner | None) -> int | None:
    """A descriptor of the mount's process; None if that is gone, or not to be seen from here."""
    if owner is None or owner.is_dead or not owner.is_here:
        return None
    try:
        return os.pidfd_open(owner.pid)
    except OSError:
        return None


def _what_keeps(mount: Mount, owner: Owner, process: int | None) -> Iterator[str]:
    """Wait until the mount's process has ended; why it has not, in one line."""
    copies = users_elsewhere(mount)
    if copies:
        holders = ", ".join(f"process {pid} ({name})" for pid, name in copies[:3])
        yield (
            f"{mount.mountpoint} is unmounted here, but mounted in the mount namespace of "
            f"{holders}; until that ends, process {owner.pid} goes on and holds the cache"
        )
    elif process is not None and not _ends(process):
        yield (
            f"{mount.mountpoint} is unmounted, but process {owner.pid} goes on and holds the "
            "cache: files are still open"
        )


def _ends(process: int) -> bool:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(_END_LIMIT_S * 1000))
