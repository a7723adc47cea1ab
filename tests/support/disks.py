"""File systems of a test's own."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NO_LOOP_DEVICE = "needs a loop device, and containers have none"


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
def ext4_disk(at: Path, size: int) -> Iterator[None]:
    """An ext4 file system of ``size`` bytes; without loop devices the test is skipped."""
    if not os.access("/dev/loop-control", os.R_OK | os.W_OK):
        pytest.skip(NO_LOOP_DEVICE)
    image = at.with_name(f"{at.name}.image")
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    with mounted("-o", "loop", image, at=at):
        yield
