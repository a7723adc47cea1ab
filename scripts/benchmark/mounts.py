"""A running mount: made, waited for, measured and taken away."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from peers import Peer, Place, environment

_TICKS = os.sysconf("SC_CLK_TCK")
_READY_S = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """Processor seconds and peak memory, in MiB, of a mount's processes so far."""

    cpu_s: float
    peak_mib: float


class Mount:
    """A mount that answers."""

    def __init__(self, point: Path, pid: int) -> None:
        self.point = point
        self.pid = pid

    def load(self) -> Load:
        """Of the process and all it has started."""
        pids = [self.pid, *_below(self.pid)]
        return Load(sum(map(_cpu_s, pids)), sum(map(_peak_mib, pids)))


@contextmanager
def mounted(peer: Peer, place: Place) -> Iterator[Mount]:
    """Mount in the foreground; unmounted, and its process gone, at the end."""
    command = peer.command(place)
    log = place.settings / f"{place.point.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command.words],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env=environment(command),
        )
    try:
        _wait(place.point, process, log)
        yield Mount(place.point, process.pid)
    finally:
        subprocess.run(["umount", str(place.point)], capture_output=True, check=False)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            subprocess.run(["umount", "-l", str(place.point)], check=False)
            process.wait()


def _wait(point: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY_S
    while not os.path.ismount(point):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"does not mount: {log.read_text(errors='replace')[-500:]}")
        time.sleep(0.02)


def _below(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *_below(child)]
    return found


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    # utime, stime and those of children that were waited for: proc(5), from the state on.
    return sum(map(int, fields[11:15])) / _TICKS


def _peak_mib(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")] or ["VmHWM: 0 kB"]
    return int(line.split()[1]) / 1024
