"""``ossfs-resume get`` as a user runs it, to its end or to somebody's kill."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import IO

from support import launcher
from support.emulator import EmulatorProcess
from support.waiting import eventually

MIB = 1 << 20


def flags(emulator: EmulatorProcess) -> list[str]:
    """Where the bucket is."""
    return ["--endpoint", emulator.url, "--region", emulator.region]


def get(emulator: EmulatorProcess, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it to its end. A first argument that is a key stands for its address."""
    command = ["get", *flags(emulator), *map(str, arguments)]
    return launcher.run(command, emulator.environment)


def fetch(emulator: EmulatorProcess, *arguments: str | Path) -> dict[str, object]:
    """Run it, which must succeed; what it says as JSON."""
    result = get(emulator, *arguments, "--output", "json")
    assert result.returncode == 0, result.stdout + result.stderr
    return dict(json.loads(result.stdout))


def started(
    emulator: EmulatorProcess,
    *arguments: str | Path,
    stdout: IO[bytes] | int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> "subprocess.Popen[str]":
    """It, running."""
    return subprocess.Popen(
        [sys.executable, "-m", "ossfs_resume", "get", *flags(emulator), *map(str, arguments)],
        env=os.environ | emulator.environment,
        stdout=stdout,
        stderr=stderr,
        text=True,
    )


def kept_bytes(target: Path) -> int:
    """What the catalogue beside a target has of objects; 0 without one."""
    catalog = target.with_name(f"{target.name}.ossfs-part") / "store" / "catalog.sqlite3"
    if not catalog.exists():
        return 0
    # Not by its locks, which its process has for itself: a copy of the log is as good.
    copy = target.with_name("copy")
    copy.mkdir(exist_ok=True)
    for suffix in ("", "-wal"):
        with suppress(FileNotFoundError):
            (copy / f"c{suffix}").write_bytes(catalog.with_name(catalog.name + suffix).read_bytes())
    with suppress(sqlite3.Error), closing(sqlite3.connect(copy / "c")) as connection:
        (found,) = connection.execute("SELECT sum(bytes_present) FROM entry").fetchone()
        return int(found or 0)
    return 0


def killed_after(
    emulator: EmulatorProcess, target: Path, count: int, *arguments: str | Path
) -> None:
    """Start it, and kill it -9 once ``count`` bytes are kept."""
    process = started(emulator, *arguments)
    try:
        eventually(lambda: kept_bytes(target) >= count or process.poll() is not None)
        assert process.poll() is None, process.communicate()[1]
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
