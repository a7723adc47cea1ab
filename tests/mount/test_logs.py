"""What the log of a mount says: each fact once, wherever it goes."""

import json
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from ossfs_resume.cli.logs import SYSTEM_LOG
from support.emulator import EmulatorProcess
from support.machine import A_SYSTEM_LOG
from support.mount import Mount
from support.waiting import eventually

pytestmark = pytest.mark.fuse


def test_an_outage_is_a_line_when_it_begins_and_one_when_it_ends(
    start_emulator: Callable[..., EmulatorProcess], tmp_path: Path
) -> None:
    emulator = start_emulator()
    for number in range(8):
        (emulator.directory / f"f{number}").write_bytes(os.urandom(1 << 20))
    options = ["--timeout", "3", "--metadata-ttl", "0"]
    with Mount(emulator, tmp_path, options=options) as mount:
        names = os.listdir(mount.point)
        before = mount.log.read_text().splitlines()
        os.setxattr(mount.point, "user.ossfs.materialize", b"1")
        eventually(lambda: mount.attribute("", "state") == "verified")
        os.setxattr(mount.point, "user.ossfs.evict", b"1")
        emulator.kill()
        os.setxattr(mount.point, "user.ossfs.materialize", b"1")
        for name in (*names, "unknown", "unknown too"):
            with suppress(OSError):
                (mount.point / name).stat()
        eventually(lambda: "does not answer" in mount.log.read_text())
        eventually(lambda: "connection refused" in mount.attribute("", "error"))
        emulator.start()
        eventually(lambda: mount.attribute("", "state") == "verified", 120)
        lines = mount.log.read_text().splitlines()[len(before) :]
        assert len(lines) == 2, lines
        assert lines[0].count("127.0.0.1") == 1
        assert "does not answer: connection refused; what is cached is served" in lines[0]
        assert "answers again, after " in lines[1]


def test_debug_lines_name_range_and_bytes(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    (emulator.directory / "x").write_bytes(os.urandom(300_000))
    mount = mounts(options=["--log-level", "debug", "--log-format", "json"]).start()
    (mount.point / "x").read_bytes()
    lines = [json.loads(line) for line in mount.log.read_text().splitlines()]
    ranges = [line for line in lines if line.get("bytes")]
    assert sum(line["bytes"] for line in ranges) == 300_000
    assert {line["key"] for line in ranges} == {"x"}
    assert {line["status"] for line in ranges} == {206}
    assert all(line["request_id"] for line in ranges)
    assert all(line["time"].endswith("Z") for line in lines)
    first = ranges[0]
    assert f"bytes {first['first']} to {first['stop']} ({first['bytes']})" in first["message"]


def test_the_log_gets_no_standard_descriptor(mounts: Callable[..., Mount]) -> None:
    """Who starts it may have closed them all; in their places comes /dev/null, not in the log's."""
    mount = mounts()
    without = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    environment = os.environ | mount.emulator.environment
    result = subprocess.run([*without, *mount.command()], env=environment, check=False)
    assert result.returncode == 0
    mount.pid = mount.statistics()["pid"]
    assert [os.readlink(f"/proc/{mount.pid}/fd/{number}") for number in range(3)] == [
        "/dev/null"
    ] * 3
    eventually(lambda: "is mounted on" in mount.log.read_text())


@pytest.mark.skipif(SYSTEM_LOG.exists(), reason=A_SYSTEM_LOG)
def test_a_log_that_nobody_keeps_is_told(mounts: Callable[..., Mount]) -> None:
    mount = mounts()
    (mount.emulator.directory / "object").write_bytes(b"content")
    at = mount.command().index("--log-file")
    result = subprocess.run(
        [*mount.command()[:at], *mount.command()[at + 2 :]],
        env=os.environ | mount.emulator.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0
    mount.pid = mount.statistics()["pid"]
    [line] = result.stderr.splitlines()
    assert "name a file with --log-file" in line
