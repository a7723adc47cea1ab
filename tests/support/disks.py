"""File systems of a test's own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.machine import require_loop_device, require_mounting


@contextmanager
def mounted(*command: str | Path, at: Path) -> Iterator[None]:
    """``mount COMMAND AT``, undone at the end whoever still uses it."""
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", *command, at], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", at], check=True)


@contextmanager
def tmpfs(at: Path, size: int) -> Iterator[Path]:
    """A tmpfs of ``size`` bytes; who may not mount one skips the test."""
    require_mounting()
    with mounted("-t", "tmpfs", "-o", f"size={size}", "tmpfs", at=at):
        yield at


@contextmanager
def ext4_disk(at: Path, size: int) -> Iterator[Path]:
    """An ext4 file system of ``size`` bytes and the image that it is in; without loop devices the
    test is skipped."""
    require_loop_device()
    image = at.with_name(f"{at.name}.image")
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    with mounted("-o", "loop", image, at=at):
        yield image
