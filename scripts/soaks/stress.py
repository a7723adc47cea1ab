"""Many readers of two mounts with one cache that is far too small; see ``scripts/soak``.

All at once: 64 readers who compare every block, verbs, objects that are replaced, an origin that
fails in ways that change, and one of the two mounts killed again and again. The other one lives
throughout, and must not grow.

Exit status 0 if no reader got a wrong byte or an error that has no cause or waited too long, no
mount died by itself, and at the end, after a rest, each mount holds what it held at its first rest:
no more than `figures.growth` allows.
"""

import argparse
import atexit
import contextlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from soaks import disturbances, slow_sync, stacks
from soaks.board import DIED, ERROR, WRONG, Finding, summary
from soaks.figures import HEADING, growth, is_busy, shown
from soaks.manners import READING
from soaks.readers import Readers
from support.blocks import OpenFile, content
from support.emulator import EmulatorProcess
from support.mount import Mount
from support.processes import Footprint, adopt_orphans, end_orphans, exit_status
from support.waiting import eventually

MIB = 1 << 20
SIZES = {f"large{n}": 3 * MIB + 4096 * n + 17 for n in range(16)} | {
    f"small{n}": 40_000 + 7000 * n for n in range(32)
}
TIMEOUT_S = 15
MARGIN_S = 45
OPTIONS = (
    "--cache-size", "24MiB", "--timeout", str(TIMEOUT_S),
    "--metadata-ttl", "2", "--negative-ttl", "1",
)  # fmt: skip
READERS = 64
MANNERS = (*READING, *READING, disturbances.verbs)

REST_S = 120.0
SETTLING_S = 20.0
"""In which idle threads end and memory is given back."""
WARM_UP_S = 60.0


class Stress:
    """Everything that runs, and what was found."""

    def __init__(self, place: Path, seed: int, readers: int, slow_sync_ms: int) -> None:
        self._place = place
        self._chance = random.Random(seed)
        self._seed = seed
        self._count = readers
        self._environment = slow_sync.environment(place, slow_sync_ms)
        self._excused = 0
        self.faults: list[Finding] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The bucket, both mounts and the readers, for as long as the block takes."""
        with (
            EmulatorProcess(self._place / "bucket") as self.emulator,
            contextlib.ExitStack() as end,
        ):
            for name, size in SIZES.items():
                disturbances.replace(self.emulator.directory, name, 1, size)
            self.mounts = [self._mount(f"m{number}") for number in range(2)]
            for mount in self.mounts:
                end.callback(_remove, mount)
                mount.start()
            points = [mount.point for mount in self.mounts]
            self.readers = Readers(
                self._place, points, SIZES, MANNERS, count=self._count, seed=self._seed
            )
            end.callback(self.readers.stop)
            for number in range(len(self.mounts)):
                self.readers.board.set_there(number, True)
            yield

    def _mount(self, name: str) -> Mount:
        environment = self._environment | stacks.environment(self._place / f"{name}-stacks")
        mount = Mount(
            self.emulator,
            self._place / name,
            options=OPTIONS,
            environment=environment,
            is_forked=False,
        )
        mount.cache = self._place / "cache"
        return mount

    # --- a while of it ---

    def run(self, seconds: float, began: float) -> None:
        """Disturb and look, with a line a minute; may be called again after a `rest`."""
        self.readers.resume()
        now = time.monotonic()
        end, next_line = now + seconds, now
        next_fault = next_kill = now + 5
        while time.monotonic() < end and not self._is_hopeless():
            if time.monotonic() >= next_line:
                next_line += 60
                self.print_line(began)
            if time.monotonic() >= next_fault:
                next_fault = time.monotonic() + self._chance.uniform(1, 5)
                self.emulator.faults(**self._chance.choice(disturbances.FAULTS))
            if time.monotonic() >= next_kill:
                next_kill = time.monotonic() + self._chance.uniform(5, 25)
                self._kill_and_start(1)
            self._replace_one()
            self.look()
            time.sleep(self._chance.uniform(0.02, 0.3))

    def _replace_one(self) -> None:
        index = self._chance.randrange(len(SIZES))
        name = list(SIZES)[index]
        self.readers.board.newest[index] += 1
        version = self.readers.board.newest[index]
        disturbances.replace(self.emulator.directory, name, version, SIZES[name])

    def _kill_and_start(self, number: int) -> None:
        self.readers.board.set_there(number, False)
        mount = self.mounts[number]
        if mount.pid:
            try:
                mount.kill()
            except TimeoutError as error:
                self._fault(Finding("unkillable", f"mount {number} after kill -9: {error}"))
                _abort(mount)
        self.emulator.faults()
        self.mounts[number].start()
        self.readers.board.set_there(number, True)

    def look(self) -> None:
        """Take up what was found since the last look."""
        for finding in self.readers.findings():
            if _is_excused(finding):
                self._excused += 1
            else:
                self._fault(finding)
        waited, reader = self.readers.board.longest_wait()
        if waited > TIMEOUT_S + MARGIN_S:
            self._fault(Finding("stuck", f"reader {reader} has waited {waited:.0f} s"))
            self.readers.board.calls[reader] = time.monotonic()
            self._print_stacks()
        for number, mount in enumerate(self.mounts):
            if mount.pid and (status := exit_status(mount.pid)) is not None:
                self._fault(Finding("dead mount", f"mount {number}: status {status}"))
                mount.pid = 0
                self._kill_and_start(number)

    def _fault(self, finding: Finding) -> None:
        self.faults.append(finding)
        if len(self.faults) <= 20:
            print(f"{finding.what}: {finding.text}", flush=True)

    def _print_stacks(self) -> None:
        for number, mount in enumerate(self.mounts):
            if mount.pid:
                print(*stacks.of(mount.pid, self._place / f"m{number}-stacks"), sep="\n")

    def _is_hopeless(self) -> bool:
        return sum(finding.what != ERROR for finding in self.faults) > 1000

    # --- figures ---

    def print_heading(self) -> None:
        """What the columns of `print_line` are."""
        print("minute  " + 2 * f"{HEADING}   " + "compared MiB  files  excused  faults")

    def print_line(self, began: float) -> None:
        """One line of the table."""
        figures = "  ".join(shown(mount) for mount in self.mounts)
        board = self.readers.board
        print(
            f"{(time.monotonic() - began) / 60:6.1f}  {figures}  {self.readers.compared // MIB:>12}"
            f"  {sum(board.passes):>5}  {self._excused:>7}  {len(self.faults):>6}",
            flush=True,
        )

    def stop_all(self) -> None:
        """Have the readers end what they read from an origin that is well."""
        self.emulator.faults()
        self.readers.pause()
        eventually(self.readers.are_idle, TIMEOUT_S + MARGIN_S)
        self.look()

    def rest(self) -> list[Footprint]:
        """Stop everything, wait until the mounts have nothing to do; what each holds then."""
        self.stop_all()
        disturbances.quiet([mount.point for mount in self.mounts], list(SIZES))
        eventually(lambda: not any(map(is_busy, self.mounts)), REST_S)
        time.sleep(SETTLING_S)
        return [Footprint.of(mount.pid) for mount in self.mounts]

    def compare_all(self) -> None:
        """Every object is now, on both mounts, what the bucket has, and not a version before."""
        for mount in self.mounts:
            for index, (name, size) in enumerate(SIZES.items()):
                newest = self.readers.board.newest[index]
                eventually(lambda p=mount.point / name, n=newest: _version(p, n) == n)  # type: ignore[misc]
                if (mount.point / name).read_bytes() != content(name, newest, 0, size):
                    self._fault(Finding(WRONG, f"{mount.point / name} at the end"))

    def require_no_growth(self, first: list[Footprint]) -> None:
        """The rule at the head of this file, with some time for it to come true."""
        for number, (mount, before) in enumerate(zip(self.mounts, first, strict=True)):
            with contextlib.suppress(AssertionError):
                eventually(lambda m=mount, b=before: not growth(m, b), REST_S)  # type: ignore[misc]
            if grown := growth(mount, before):
                self._fault(Finding("growth", f"mount {number}: {grown}"))


def _is_excused(finding: Finding) -> bool:
    """An error that an origin that fails, or an object that was replaced, must cause."""
    if finding.what == DIED:
        return finding.errno == -signal.SIGBUS
    return finding.what == ERROR and finding.errno in disturbances.EXCUSED


def _version(path: Path, newest: int) -> int:
    file = OpenFile(path.name)
    file.check(0, path.read_bytes()[:512], newest)
    return file.version


def _abort(mount: Mount) -> None:
    """End the connection in the kernel, whatever waits for it."""
    subprocess.run(["umount", "-f", mount.point], capture_output=True, check=False)
    subprocess.run(["umount", "-l", mount.point], capture_output=True, check=False)
    mount.pid = 0


def _remove(mount: Mount) -> None:
    with contextlib.suppress(TimeoutError, ProcessLookupError):
        if mount.pid:
            mount.stop()
    _abort(mount)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--readers", type=int, default=READERS)
    parser.add_argument("--slow-sync", type=int, default=0, metavar="MS")
    options = parser.parse_args()
    adopt_orphans()
    atexit.register(end_orphans)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what is mounted is unmounted first
    seconds, began = options.minutes * 60, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ossfs-soak-") as place:
        stress = Stress(Path(place), options.seed, options.readers, options.slow_sync)
        with stress.running():
            stress.print_heading()
            if seconds < 2 * WARM_UP_S:  # too short for figures to say anything
                stress.run(seconds, began)
                stress.stop_all()
            else:
                stress.run(WARM_UP_S, began)
                first = stress.rest()
                stress.print_line(began)
                stress.run(seconds - WARM_UP_S, began)
                stress.rest()
                stress.require_no_growth(first)
            stress.print_line(began)
            stress.compare_all()
    print(f"{len(stress.faults)} faults", *summary(stress.faults), sep="\n  ")
    sys.exit(bool(stress.faults))


if __name__ == "__main__":
    main()
