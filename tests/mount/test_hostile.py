"""An origin that misbehaves now and then costs time; one that always does gets a clear error."""

import errno
import os
import random
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount
from support.objects import bytes_now, digest, write
from support.waiting import eventually

pytestmark = pytest.mark.fuse

MIB = 1 << 20
HOSTILE = ("fail", "reset", "stall", "truncate", "whole", "shift", "lie", "gzip", "html")
FOLDERS = 7
OBJECTS = int(os.environ.get("HOSTILE_OBJECTS", "50"))
OBJECT_BYTES = int(os.environ.get("HOSTILE_BYTES", str(256 * 1024)))
TIMEOUT = os.environ.get("HOSTILE_TIMEOUT", "15")
SEED = int(os.environ.get("HOSTILE_SEED", "1"))


def resident_bytes(pid: int, field: str = "VmRSS") -> int:
    """Memory of a process now, or at its highest with ``VmHWM``."""
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith(field)]
    return int(line.split()[1]) * 1024


class Watch:
    """Samples the memory of a process until it is left."""

    def __init__(self, pid: int, every_s: float) -> None:
        self.samples: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(pid, every_s))

    def _run(self, pid: int, every_s: float) -> None:
        while not self._over.wait(every_s):
            self.samples.append(resident_bytes(pid))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def highest_by_tenth(self) -> list[int]:
        """The most in each tenth of the time, in MiB."""
        step = max(len(self.samples) // 10, 1)
        return [max(self.samples[at : at + step]) >> 20 for at in range(0, len(self.samples), step)]


def know(emulator: EmulatorProcess, place: Path) -> None:
    """Have the emulator compute the ETags that a listing tells: an origin knows them."""
    with Mount(emulator, place) as other:
        for number in range(FOLDERS):
            os.listdir(other.point / str(number))


def copy(source: Path, target: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["cp", "-r", source, target],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


@pytest.mark.timeout(10_000)
def test_cp_r_from_an_origin_that_fails_in_nine_ways_at_five_percent_each(
    emulator: EmulatorProcess,
    mounts: Callable[..., Mount],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Identical bytes, no error, memory flat; 45 % of the requests go wrong."""
    chance = random.Random(SEED)
    for number in range(OBJECTS):
        size = chance.randrange(OBJECT_BYTES // 2, OBJECT_BYTES * 3 // 2)
        write(emulator.directory / f"{number % FOLDERS}/{number}", chance.randbytes(size))
    know(emulator, tmp_path / "other")
    mount = mounts(options=["--timeout", TIMEOUT]).start()
    before = resident_bytes(mount.pid)
    emulator.faults(mischief=HOSTILE, mischief_share=0.05, mischief_seed=SEED)
    began = time.monotonic()
    with Watch(mount.pid, OBJECTS / 500) as watch:
        result = copy(mount.point, tmp_path / "copy", OBJECTS * 10)
    seconds = time.monotonic() - began
    assert (result.returncode, result.stderr) == (0, "")
    assert digest(tmp_path / "copy") == digest(emulator.directory)
    highest = resident_bytes(mount.pid, "VmHWM")
    statistics = mount.statistics()["origin"]
    retries = statistics["retries"]
    assert retries > OBJECTS / 4
    assert highest - before < 200 * MIB
    with capsys.disabled():
        print(
            f"\n{OBJECTS} objects (seed {SEED}) in {seconds:.0f} s with {retries} retries and"
            f" {statistics['hedged']} second attempts; memory {before >> 20} MiB, at most"
            f" {highest >> 20} MiB, in tenths of the time {watch.highest_by_tenth()}"
        )


STRANGE = {
    "html": ["502", "Please log in"],
    "portal": ["not one of OSS"],
    "redirect": ["302", "redirects to"],
    "endless": ["longer than"],
    "headers": ["too large"],
}


@pytest.mark.parametrize("kind", STRANGE)
def test_a_strange_origin_is_told_in_one_line_at_the_mount(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], kind: str
) -> None:
    emulator.faults(mischief=[kind], mischief_share=1.0)
    result = mounts().run()
    assert result.returncode == 1
    [line] = result.stderr.strip().splitlines()
    for words in STRANGE[kind]:
        assert words in line


@pytest.mark.parametrize("kind", STRANGE)
def test_a_strange_origin_under_a_mount_gives_errors_and_takes_no_memory(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], kind: str
) -> None:
    for name in "abcd":
        write(emulator.directory / name, os.urandom(3 * MIB))
    mount = mounts(options=["--timeout", "3", "--metadata-ttl", "0.1"]).start()
    assert sorted(os.listdir(mount.point)) == list("abcd")
    before = resident_bytes(mount.pid)
    emulator.faults(mischief=[kind], mischief_share=1.0)
    with pytest.raises(OSError) as caught:
        (mount.point / "a").read_bytes()
    assert caught.value.errno in (errno.EIO, errno.ETIMEDOUT)
    with pytest.raises(OSError) as caught:
        os.listdir(mount.point / "d/nothing")
    assert resident_bytes(mount.pid, "VmHWM") - before < 150 * MIB
    emulator.faults()
    for name in "ba":  # a failed range is remembered for some seconds
        right = (emulator.directory / name).read_bytes()
        eventually(lambda name=name, right=right: bytes_now(mount.point / name) == right)
