"""Directories of small files: each is asked for once, before its turn."""

import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount
from support.waiting import eventually

pytestmark = pytest.mark.fuse

COUNT = 60


@pytest.fixture
def files(emulator: EmulatorProcess) -> Path:
    """A directory of small files behind a slow network."""
    folder = emulator.directory / "d"
    folder.mkdir()
    for number in range(COUNT):
        (folder / f"{number:03}").write_bytes(os.urandom(20_000))
    emulator.faults(latency_ms=20)
    return folder


def asked(emulator: EmulatorProcess) -> Counter[str]:
    return Counter(record["key"] for record in emulator.requests("get"))


@pytest.mark.parametrize("command", [["cp", "-r"], ["rsync", "-r"]])
def test_a_copy_asks_for_each_file_once(
    emulator: EmulatorProcess, mount: Mount, files: Path, tmp_path: Path, command: list[str]
) -> None:
    subprocess.run([*command, mount.point / "d", tmp_path / "copy"], check=True)
    subprocess.run(["diff", "-r", files, next((tmp_path / "copy").rglob("000")).parent], check=True)
    assert asked(emulator) == {f"d/{number:03}": 1 for number in range(COUNT)}


def test_what_was_predicted_is_there_when_the_network_is_gone(
    emulator: EmulatorProcess, mount: Mount, files: Path
) -> None:
    names = sorted(os.listdir(mount.point / "d"))
    for name in names[:4]:
        (mount.point / "d" / name).read_bytes()
    states = ("complete", "verified")
    eventually(lambda: all(mount.attribute(f"d/{name}", "state") in states for name in names[:10]))
    emulator.faults(hang="data")
    for name in names[4:10]:
        assert (mount.point / "d" / name).read_bytes() == (files / name).read_bytes()


def test_reading_a_few_files_here_and_there_fetches_those_alone(
    emulator: EmulatorProcess, mount: Mount, files: Path
) -> None:
    os.listdir(mount.point / "d")
    for number in (50, 3, 27, 40, 11):
        (mount.point / "d" / f"{number:03}").read_bytes()
    assert set(asked(emulator)) == {f"d/{number:03}" for number in (50, 3, 27, 40, 11)}
