"""``ossfs-resume umount``: take a mount down as whoever made it may."""

import os
import shutil
import subprocess

import click

from ossfs_resume.errors import MountError


@click.command()
@click.argument("mountpoint")
@click.option("-l", "--lazy", is_flag=True, help="Detach now, even if it is in use.")
def umount(mountpoint: str, lazy: bool) -> None:
    """Unmount MOUNTPOINT; what has been downloaded stays in the cache."""
    tool = "umount" if os.geteuid() == 0 else "fusermount3"
    if shutil.which(tool) is None:
        raise MountError(f"{tool} is missing; install the package fuse3")
    command = [tool] if tool == "umount" else [tool, "-u"]
    command += ["-l" if tool == "umount" else "-z"] if lazy else []
    result = subprocess.run([*command, mountpoint], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise MountError(result.stderr.strip() or f"{mountpoint} cannot be unmounted")
