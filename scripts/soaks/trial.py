"""One mount whose cache lies on a disk that comes to harm, and what must hold at each step."""

import errno
import os
import random
import shutil
import subprocess
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from soaks import stacks
from soaks.board import summary
from soaks.manners import READING
from soaks.readers import Readers
from support.blocks import content
from support.emulator import EmulatorProcess
from support.mount import Mount
from support.processes import exit_status
from support.sick_disks import MIB, Disk
from support.waiting import eventually

SIZES = {f"large{n}": 4 * MIB + 4096 * n + 17 for n in range(8)} | {
    f"small{n}": 150_000 + 1000 * n for n in range(16)
}
OPTIONS = ("--cache-size", "24MiB", "--timeout", "60")
"""The cache holds two thirds of the bucket: whatever state the disk is in, there is work for it."""
HELD = [name for name in SIZES if name.startswith("small")] + ["large0", "large1", "large2"]
READERS = 2 * len(READING)
PASSES = 2
PATIENCE_S = 180.0
LS_S = 30.0


class Trial:
    """A bucket, a disk of one kind, a mount and its readers; prints a line a step.

    ``faults`` are the steps that failed. A mount that died is started again, so that one run shows
    all that is wrong.
    """

    def __init__(self, kind: str, place: Path, seed: int) -> None:
        self.kind = kind
        self.chance = random.Random(f"{seed} {kind}")
        self.faults: list[str] = []
        self._place = place
        self._seed = seed
        self._disks = 0
        self.crashed: Disk | None = None
        self._log_at = 0
        self._held = ExitStack()

    @contextmanager
    def running(self) -> Iterator[None]:
        """All of it, for as long as the block takes."""
        self.emulator = EmulatorProcess(self._place / "bucket")
        for name, size in SIZES.items():
            (self.emulator.directory / name).write_bytes(content(name, 1, 0, size))
        self.mount = Mount(
            self.emulator,
            self._place,
            options=OPTIONS,
            environment=stacks.environment(self._place / "stacks"),
            is_forked=False,
        )
        self.mount.cache = self._place / "disk" / "cache"
        self.disk = self.new_disk()
        self.disk.attach()
        self.readers = Readers(
            self._place, [self.mount.point], SIZES, READING, count=READERS, seed=self._seed
        )
        try:
            yield
        finally:
            late = self.readers.stop()
            self.mount.__exit__()
            subprocess.run(["umount", "-f", self.mount.point], capture_output=True, check=False)
            self.emulator.stop()
            while os.path.ismount(self.disk.point):
                self.disk.detach()
            if late:
                self.faults.append(f"{self.kind}: {late} readers did not end")

    # --- the disk ---

    def new_disk(self) -> Disk:
        """One of this kind, empty and not attached yet."""
        self._disks += 1
        image = self._place / f"image{self._disks}"
        return Disk(self.kind, image, self._place / "disk")

    def replace_disk(self) -> None:
        """The broken one is taken away, and a new one put in its place."""
        self._held.close()
        self.disk.detach()
        self.disk = self.new_disk()
        self.disk.attach()

    def make_writable(self) -> None:
        """Take back that the disk is read-only; where it cannot be, it is replaced."""
        try:
            self.disk.make_writable()
        except subprocess.CalledProcessError:
            self.replace_disk()

    def cut_at_rest(self) -> None:
        """Nothing is written meanwhile, so that nobody is warned, and files are open, of which the
        mount knows without the disk what is there."""
        self.readers.pause()
        if self.mount.pid:
            eventually(self.readers.are_idle)
            for name in HELD:
                self._held.enter_context((self.mount.point / name).open("rb")).read()
            eventually(lambda: not self._is_busy())
        self.disk.cut()
        self.readers.resume()

    def _is_busy(self) -> bool:
        cache = self.mount.statistics()["cache"]
        return bool(cache["uncommitted_bytes"] or cache["unsynced_bytes"])

    def remove_cache(self) -> None:
        """Leave the disk as no mount has seen it."""
        shutil.rmtree(self.mount.cache)

    # --- the mount ---

    def start(self) -> None:
        """Mount; a step of its own fails if that fails."""
        self.mount.start()
        self.readers.board.set_there(0, True)

    def stop(self) -> None:
        """Unmount, unless it died; its readers wait for the next one."""
        self.readers.board.set_there(0, False)
        if self.mount.pid:
            pid = self.mount.pid
            try:
                self.mount.stop()
                eventually(lambda: not _runs(pid))
            except TimeoutError:
                shown = stacks.of(pid, self._place / "stacks")
                self._print("the mount is told to stop", ["it runs on", *shown], "")
                self.mount.kill()
        self._detach()

    def _detach(self) -> None:
        while os.path.ismount(self.mount.point):
            subprocess.run(["umount", "-l", self.mount.point], capture_output=True, check=False)

    # --- the steps ---

    def step(self, name: str, *, recovers: bool = False, evicts: bool = False) -> None:
        """Read on for a while and compare; with ``recovers`` parts must be kept again as well, and
        with ``evicts`` objects can be evicted."""
        compared, began = self.readers.compared, time.monotonic()
        wrong = []
        try:
            if not self.mount.pid:
                self.stop()
                self.start()
            self.readers.wait_for_passes(PASSES, PATIENCE_S)
            if recovers:
                eventually(self._is_kept, PATIENCE_S)
            if evicts:
                self._evict_all()
            wrong += self._look()
        except Exception as error:  # whatever it is, the next step is tried
            wait, reader = self.readers.board.longest_wait()
            *_, where = traceback.extract_tb(error.__traceback__)
            wrong.append(f"{type(error).__name__}: {error}: {where.line}")
            wrong.append(f"reader {reader} has waited {wait:.0f} s")
        wrong = self._death() + self._findings() + self._tracebacks() + wrong
        seconds, mib = time.monotonic() - began, (self.readers.compared - compared) / MIB
        checked = [f"{mib:6.1f} MiB compared in {seconds:5.1f} s"]
        if not wrong:
            checked += ["no error", "alive", "ls answers"]
            checked += ["keeps parts again"] * recovers + ["evicts"] * evicts
        self._print(name, wrong, ", ".join(checked))

    def skip(self, name: str, reason: str) -> None:
        """Say what was not tried, and why."""
        print(f"{self.kind:>5}  {name:<46}  skipped: {reason}", flush=True)

    def _print(self, name: str, wrong: list[str], checked: str) -> None:
        print(f"{self.kind:>5}  {name:<46}  {'FAULT' if wrong else 'ok   '}  {checked}", flush=True)
        for text in wrong:
            print(f"{'':7}  {text}", flush=True)
        if wrong:
            self.faults.append(f"{self.kind}: {name}: {wrong[0]}")

    def _look(self) -> list[str]:
        command = ["ls", "-l", self.mount.point]
        result = subprocess.run(command, capture_output=True, timeout=LS_S, check=False, text=True)
        lines = len(result.stdout.splitlines()) - 1
        return [] if lines == len(SIZES) else [f"ls shows {lines} objects: {result.stderr}"]

    def _evict_all(self) -> None:
        """Raises OSError, except for what is open."""
        for name in SIZES:
            try:
                os.setxattr(self.mount.point / name, "user.ossfs.evict", b"1")
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise

    def _is_kept(self) -> bool:
        """A file that was evicted and read is cached to its end, and nobody complains."""
        name = self.chance.choice([name for name in SIZES if name.startswith("small")])
        path = self.mount.point / name
        with suppress(OSError):
            os.setxattr(path, "user.ossfs.evict", b"1")
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            file.read()
        try:
            state = self.mount.attribute(name, "state")
        except OSError:  # the catalogue cannot be asked yet
            return False
        return state in ("complete", "verified") and not self.mount.statistics()["cache"]["error"]

    def _death(self) -> list[str]:
        """What ended the mount, if it is not there any more."""
        pid = self.mount.pid
        if not pid or _runs(pid):
            return []
        status = exit_status(pid)
        self.mount.pid = 0
        self.stop()
        return [f"the mount died with status {status}"]

    def _findings(self) -> list[str]:
        return summary(self.readers.findings())

    def _tracebacks(self) -> list[str]:
        """The last lines of the tracebacks that the log has got since the last step."""
        if not self.mount.log.exists():
            return []
        with self.mount.log.open(errors="replace") as file:
            file.seek(self._log_at)
            lines = file.readlines()
            self._log_at = file.tell()
        count = sum("Traceback" in line for line in lines)
        ends = [line.strip() for line in lines if line.strip() and "Error" in line.split(":")[0]]
        return [f"{count} tracebacks in the log: {ends[-1] if ends else ''}"] if count else []

    def clean(self) -> None:
        """As before the first step: a new disk, nothing mounted."""
        self.stop()
        self.replace_disk()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
