"""A mount that downloads something as soon as it is there."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ossfs_resume.cli.warming import paths_in
from support import launcher
from support.emulator import EmulatorProcess
from support.mount import Mount
from support.waiting import eventually

pytestmark = pytest.mark.fuse

MIB = 1 << 20


@pytest.fixture
def data(emulator: EmulatorProcess) -> Path:
    """A directory with a file, and a file beside it, in the bucket."""
    (emulator.directory / "dir").mkdir()
    for name in ("dir/a", "other"):
        (emulator.directory / name).write_bytes(os.urandom(MIB))
    return emulator.directory


def test_with_wait_it_returns_when_that_is_here(data: Path, mounts: Callable[..., Mount]) -> None:
    mount = mounts(options=["--materialize", "dir", "--wait"])
    result = mount.run()
    mount.pid = mount.statistics()["pid"]
    assert result.returncode == 0
    assert result.stdout.startswith("1 file: 1.0 MiB fetched in")
    assert mount.attribute("dir/a", "state") == "verified"
    assert mount.attribute("other", "state") == "remote"


def test_without_wait_it_returns_at_once(
    data: Path, emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    mount = mounts(options=["--materialize", "dir/a", "--materialize", "/other"]).start()
    for name in ("dir/a", "other"):
        eventually(lambda name=name: mount.attribute(name, "state") == "verified")


def test_what_is_not_there_is_told_and_the_mount_stays(
    data: Path, mounts: Callable[..., Mount]
) -> None:
    mount = mounts(options=["--materialize", "gone", "--wait"])
    result = mount.run()
    mount.pid = mount.statistics()["pid"]
    assert (result.returncode, result.stderr) == (
        1, f"ossfs-resume: {mount.point}/gone: no such file or directory\n",
    )  # fmt: skip


def test_in_the_foreground_it_begins_when_the_mount_answers(
    data: Path, emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    mount = mounts(options=["-f", "--materialize", "dir"])
    process = subprocess.Popen(mount.command(), env=os.environ | emulator.environment)
    try:
        eventually(lambda: os.path.ismount(mount.point))
        eventually(lambda: mount.attribute("dir/a", "state") == "verified")
    finally:
        process.terminate()
        assert process.wait() == 0


@pytest.mark.parametrize("flags", [["--wait"], ["-f", "--wait", "--materialize", "x"]])
def test_wait_without_anything_to_wait_for_is_wrong_usage(flags: list[str]) -> None:
    assert launcher.run(["mount", *flags, "oss://b", "/mnt"], {}).returncode == 2


def test_paths_are_those_in_the_mount_or_those_that_lead_there() -> None:
    assert paths_in("/m", ["a", "/b", "/m/c", "/", "", "/mm"]) == [
        "/m/a", "/m/b", "/m/c", "/m", "/m", "/m/mm",
    ]  # fmt: skip
