"""``ossfs-resume status`` of real mounts."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import launcher
from support.emulator import EmulatorProcess
from support.mount import PROGRAM, Mount
from support.terminal import OnTerminal
from support.waiting import eventually

pytestmark = pytest.mark.fuse

MIB = 1 << 20
PART = 256 << 10


def status(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return launcher.run(["status", *map(str, arguments)], {})


def documents(*arguments: str | Path) -> list[dict[str, Any]]:
    result = status("--json", *arguments)
    assert result.returncode == 0, result.stderr
    return list(json.loads(result.stdout)["paths"])


@pytest.fixture
def mount(emulator: EmulatorProcess, mounts: Callable[..., Mount]) -> Mount:
    """Of a file of 16 parts, two of them cached, and a directory."""
    (emulator.directory / "dir").mkdir()
    (emulator.directory / "dir/a").write_bytes(b"a" * MIB)
    (emulator.directory / "file").write_bytes(os.urandom(16 * PART))
    mount = mounts(options=["--read-ahead", "0", "--cache-size", "1GiB"]).start()
    with (mount.point / "file").open("rb", buffering=0) as file:
        for part in (4, 9):
            os.pread(file.fileno(), 1, part * PART)
    return mount


def test_a_file_shows_which_parts_are_here_open_or_not(mount: Mount) -> None:
    # What the root says is the catalogue's, which the kill leaves as it is.
    eventually(lambda: json.loads(mount.attribute("", "status"))["bytes_present"] >= 2 * PART)
    for _ in range(2):
        [found] = documents(mount.point / "file")
        assert (found["kind"], found["status"]["state"]) == ("file", "partial")
        assert (found["map"][4], found["map"][9]) == ("#", "#")
        assert found["map"].count("#") == found["status"]["parts_present"] < 16
        # Entries are open until they are committed and synced.
        eventually(lambda: not mount.statistics()["cache"]["open_entries"])
        mount.kill()
        mount.start()
    assert "  " + found["map"] in status(mount.point / "file").stdout.splitlines()


def test_without_a_terminal_a_map_fits_an_ordinary_line(
    emulator: EmulatorProcess, mount: Mount
) -> None:
    (emulator.directory / "dir/large").write_bytes(bytes(600 * PART))
    assert len(documents(mount.point / "dir/large")[0]["map"]) == 512
    assert status(mount.point / "dir/large").stdout.splitlines()[-1] == "  " + "." * 74


def test_parts_that_are_being_fetched_are_seen(emulator: EmulatorProcess, mount: Mount) -> None:
    emulator.faults(hang="data")
    os.setxattr(mount.point / "dir/a", "user.ossfs.materialize", b"1")
    eventually(lambda: ">" in mount.attribute("dir/a", "map"))
    assert "job: running, 0 B of 1.0 MiB" in status(mount.point / "dir/a").stdout


def test_a_directory_and_a_mount(mount: Mount) -> None:
    directory, root = documents(mount.point / "dir", mount.point)
    assert (directory["kind"], directory["status"]["state"]) == ("directory", "remote")
    assert "nothing is cached" in status(mount.point / "dir").stdout
    assert (root["kind"], root["source"]) == ("mount", "oss://sample")
    assert root["stats"]["cache"]["limit_bytes"] == 1 << 30
    assert root["stats"]["jobs"] == {"queued": 0, "running": 0, "paused": 0, "failed": 0}
    assert root["stats"]["kernel"]["warnings"] == []
    text = status(mount.point).stdout
    assert f"oss://sample on {mount.point}: up\n" in text
    assert f" of 1.0 GiB in {mount.cache}\n" in text


def test_an_origin_that_is_away_is_called_so(emulator: EmulatorProcess, mount: Mount) -> None:
    os.listdir(mount.point)
    emulator.kill()
    os.setxattr(mount.point / "dir", "user.ossfs.materialize", b"1")
    eventually(lambda: "the origin has not answered for" in status(mount.point).stdout)


def test_without_a_path_all_mounts_are_shown(mount: Mount) -> None:
    assert f"oss://sample on {mount.point}: up\n" in status().stdout


def test_a_dead_mount_and_a_path_that_is_not_there_are_lines_on_stderr(mount: Mount) -> None:
    gone = mount.point / "gone"
    result = status(gone, mount.point / "dir")
    assert (result.returncode, result.stderr) == (
        1, f"ossfs-resume: {gone}: no such file or directory\n",
    )  # fmt: skip
    assert result.stdout.startswith(f"{mount.point}/dir\n")
    os.kill(mount.pid, signal.SIGKILL)
    mount.pid = 0
    for arguments in ((mount.point,), (mount.point / "dir",), ()):
        result = status(*arguments)
        assert result.returncode == 1
        assert f"the mount at {mount.point} is dead; mount it again" in result.stderr


def test_a_path_on_no_mount_says_nothing_of_others(mount: Mount, tmp_path: Path) -> None:
    result = status(tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"ossfs-resume: {tmp_path} is on no mount of ossfs-resume\n"


def test_watching_shows_what_changes(emulator: EmulatorProcess, mount: Mount) -> None:
    command = [*PROGRAM, "status", "--watch", "--json", str(mount.point / "dir/a")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        states = (
            json.loads(line)["paths"][0]["status"]["state"]
            for line in iter(process.stdout.readline, "")
        )
        assert next(states) == "remote"
        (mount.point / "dir/a").read_bytes()
        assert "verified" in states
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130


def test_on_a_terminal_it_is_drawn_over_what_was_there(mount: Mount) -> None:
    command = OnTerminal("status", "--watch", mount.point / "dir/a")
    command.until(b"remote:")
    (mount.point / "dir/a").read_bytes()
    command.until(b"####")
    command.interrupt()
    assert command.end() == 130
    first, *others = command.shown.split(b"\x1b[H")
    assert first == b""
    assert all(one.count(b"/dir/a") == 1 for one in others)
