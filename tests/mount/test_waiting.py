"""A command that waits for a download, as a user meets it."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import launcher
from support.emulator import EmulatorProcess
from support.mount import Mount
from support.terminal import OnTerminal
from support.waiting import eventually

pytestmark = pytest.mark.fuse

MIB = 1 << 20
FILES = 6


def materialize(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return launcher.run(["materialize", *map(str, arguments)], {})


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[EmulatorProcess]:
    """An endpoint that takes unsigned requests too, so that tests can put odd objects."""
    with EmulatorProcess(tmp_path / "bucket", anonymous=True) as emulator:
        yield emulator


@pytest.fixture
def mount(emulator: EmulatorProcess, mounts: Callable[..., Mount]) -> Mount:
    """Of a directory of 12 MiB in six files."""
    (emulator.directory / "dir").mkdir()
    for number in range(FILES):
        (emulator.directory / f"dir/{number}").write_bytes(os.urandom(2 * MIB))
    return mounts().start()


def archive(emulator: EmulatorProcess, key: str) -> None:
    headers = {"x-oss-storage-class": "ColdArchive"}
    answer = emulator.request("PUT", emulator.target(key), headers=headers, body=b"x" * MIB)
    assert answer.status == 200


def test_it_returns_when_all_is_here_and_says_what_was_reused(mount: Mount) -> None:
    first = materialize(mount.point / "dir/0", mount.point / "dir/1")
    assert first.returncode == 0
    assert first.stdout.startswith("2 files: 4.0 MiB fetched in 0:0")
    second = materialize(mount.point / "dir")
    assert (second.returncode, second.stderr) == (0, "")
    assert second.stdout.startswith("resumed: 4.0 MiB of 12.0 MiB were here; 8.0 MiB fetched in")
    assert mount.attribute("dir/5", "state") == "verified"


def test_what_failed_is_named_with_its_reason_and_the_rest_is_here(
    emulator: EmulatorProcess, mount: Mount
) -> None:
    archive(emulator, "dir/old")
    result = materialize(mount.point / "dir", "--output", "quiet")
    assert (result.returncode, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("ossfs-resume: dir/old: ")
    assert "InvalidObjectState" in line
    assert [mount.attribute(f"dir/{n}", "state") for n in range(FILES)] == ["verified"] * FILES
    assert materialize(mount.point / "dir").stdout.endswith("; 1 of 7 failed\n")


def test_programs_get_json_lines(emulator: EmulatorProcess, mount: Mount) -> None:
    archive(emulator, "dir/old")
    result = materialize(mount.point / "dir", "--output", "json")
    assert (result.returncode, result.stderr) == (1, "")
    last = json.loads(result.stdout.splitlines()[-1])
    assert (last["bytes"], last["totalBytes"], last["errors"]) == (12 * MIB, 13 * MIB, 1)
    assert "InvalidObjectState" in last["lastError"]


def test_without_waiting_the_mount_goes_on_alone(emulator: EmulatorProcess, mount: Mount) -> None:
    emulator.faults(hang="data")
    assert materialize("--no-wait", mount.point / "dir").returncode == 0
    assert json.loads(mount.attribute("dir", "job"))["state"] in ("queued", "running")
    emulator.faults()
    eventually(lambda: mount.attribute("dir", "state") == "verified")


def test_a_large_directory_is_counted_before_all_of_it_is_fetched(
    emulator: EmulatorProcess, mount: Mount
) -> None:
    for number in range(2500):
        (emulator.directory / f"dir/small-{number}").write_bytes(b"x")
    emulator.faults(hang="data")
    assert materialize("--no-wait", mount.point / "dir").returncode == 0
    job = lambda: json.loads(mount.attribute("dir", "job"))  # noqa: E731
    eventually(lambda: job()["is_counted"])
    assert (job()["objects"], job()["objects_done"]) == (2500 + FILES, 0)
    assert len(emulator.requests("list")) <= 6


def test_a_terminal_shows_bars_and_an_interrupt_leaves_the_download_running(
    emulator: EmulatorProcess, mount: Mount
) -> None:
    assert materialize(mount.point / "dir/0").returncode == 0
    emulator.faults(total_bytes_per_s=2e6)
    command = OnTerminal("materialize", mount.point / "dir")
    command.until(b"left")
    command.interrupt()
    assert command.end() == 130
    assert b"2.0 MiB were here" in command.shown
    assert b"\x1b[34m" in command.shown  # what was here, in its colour
    assert b"dir/5" in command.shown
    last = command.shown.decode().splitlines()[-1]
    assert last.endswith(f"the download goes on; to stop it: ossfs-resume cancel {mount.point}/dir")
    emulator.faults()
    eventually(lambda: mount.attribute("dir", "state") == "verified")


def test_a_terminal_has_nothing_but_the_last_line_in_the_end(mount: Mount) -> None:
    command = OnTerminal("materialize", mount.point / "dir")
    assert command.end() == 0
    last = command.shown.rpartition(b"\x1b[2K")[2].decode()
    assert last.startswith("6 files: 12.0 MiB fetched in 0:0")


def test_a_download_that_is_cancelled_elsewhere_ends_the_wait(
    emulator: EmulatorProcess, mount: Mount
) -> None:
    emulator.faults(hang="data")
    command = OnTerminal("materialize", mount.point / "dir")
    command.until(b"dir/5")
    assert launcher.run(["cancel", str(mount.point / "dir")], {}).returncode == 0
    assert command.end() == 1
    assert b"; cancelled" in command.shown


def test_a_mount_that_dies_ends_the_wait(emulator: EmulatorProcess, mount: Mount) -> None:
    emulator.faults(hang="data")
    command = OnTerminal("materialize", mount.point / "dir")
    command.until(b"dir/5")
    os.kill(mount.pid, signal.SIGKILL)
    mount.pid = 0
    assert command.end() == 1
    assert b"is dead; mount it again" in command.shown


def test_who_waits_keeps_nobody_from_unmounting(emulator: EmulatorProcess, mount: Mount) -> None:
    emulator.faults(hang="data")
    command = OnTerminal("materialize", mount.point / "dir")
    command.until(b"dir/5")
    mount.stop()
    assert command.end() == 1
    assert b"is not mounted any more" in command.shown
