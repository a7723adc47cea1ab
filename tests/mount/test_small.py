"""Small files in a real mount: rows of one database, from the first copy to the eviction."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount
from support.waiting import eventually

pytestmark = pytest.mark.fuse

SIZES = (1, 100, 4096, 20_000, 65_535, 65_536)
COUNT = 120

Mounts = Callable[..., Mount]


@pytest.fixture
def files(emulator: EmulatorProcess) -> Path:
    folder = emulator.directory / "d"
    folder.mkdir()
    for number in range(COUNT):
        (folder / f"{number:03}").write_bytes(os.urandom(SIZES[number % len(SIZES)]))
    return folder


def copy(mount: Mount, files: Path, place: Path) -> None:
    """Copy all, byte by byte what the bucket has."""
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run(["cp", "-r", mount.point / "d", place], check=True)
    subprocess.run(["diff", "-r", files, place], check=True)


def states(mount: Mount) -> set[str]:
    return {mount.attribute(f"d/{number:03}", "state") for number in range(COUNT)}


def is_stored(mount: Mount) -> bool:
    """Whether all is committed: until then entries are open, even those that nobody uses."""
    return mount.statistics()["cache"]["open_entries"] == 0


def test_they_have_no_files_and_are_there_after_kill_9_without_a_network(
    emulator: EmulatorProcess, mount: Mount, files: Path, tmp_path: Path
) -> None:
    copy(mount, files, tmp_path / "copy")
    assert states(mount) == {"verified"}
    eventually(lambda: is_stored(mount))
    assert list(mount.cache.glob("*/data/*/*")) == []
    mount.kill()
    mount.start()
    asked = len(emulator.requests("get"))
    copy(mount, files, tmp_path / "copy")
    assert len(emulator.requests("get")) == asked
    assert states(mount) == {"verified"}


def test_they_are_evicted_pinned_and_checked_like_others(
    emulator: EmulatorProcess, mount: Mount, files: Path, tmp_path: Path
) -> None:
    copy(mount, files, tmp_path / "copy")
    os.setxattr(mount.point / "d/003", "user.ossfs.pin", b"1")
    os.setxattr(mount.point / "d/004", "user.ossfs.evict", b"1")
    eventually(lambda: mount.attribute("d/004", "state") == "remote")
    mount.stop()
    command = [sys.executable, "-m", "ossfs_resume", "cache"]
    where = ["--cache-dir", str(mount.cache)]
    for verb in (["check", "--repair"], ["evict", "oss://sample/"], ["check"]):
        result = subprocess.run(
            [*command, *verb, *where], capture_output=True, text=True, check=False
        )
        assert result.returncode == 0 or "1 pinned" in result.stdout + result.stderr
    mount.start()
    assert mount.attribute("d/003", "state") == "verified"
    assert mount.attribute("d/005", "state") == "remote"
    copy(mount, files, tmp_path / "copy")


def test_two_mounts_share_them(
    emulator: EmulatorProcess, mounts: Mounts, files: Path, tmp_path: Path
) -> None:
    first = mounts().start()
    copy(first, files, tmp_path / "copy")
    eventually(lambda: is_stored(first))
    asked = len(emulator.requests("get"))
    second = mounts()
    second.point = tmp_path / "second"
    second.point.mkdir()
    second.start()
    copy(second, files, tmp_path / "copy")
    copy(first, files, tmp_path / "copy")
    assert len(emulator.requests("get")) == asked
