"""fio verifies what it wrote, through a mount that is killed every few seconds.

Another program's opinion: fio writes each object once, on the local disk, in blocks of 4 KiB that
carry their offset and their CRC-32C, and reads them from the mount with 4 and with 16 jobs, in
order and at random. The cache holds a third of them, so that parts come, go and are found again.
That a job ends with EIO or "not connected" when the mount is killed is right; a block that is
wrong, another error, a job that hangs or a missing file is a fault. At the end every byte is
compared with the local files, for a block of another object would satisfy fio. Before all that fio
must find a block that was made wrong on purpose.
"""

import argparse
import errno
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from soaks.kills import killed_mount
from support.emulator import EmulatorProcess
from support.mount import Mount
from support.waiting import PATIENCE_S

MIB = 1 << 20
OBJECTS, OBJECT_BYTES = 16, 16 * MIB
CACHE = "80MiB"
BYTES_PER_S = 100e6
JOBS, ORDERS, BLOCKS = (4, 16), ("read", "randread"), ("4k", "16k", "128k")
WELL = frozenset({0})
KILLED = WELL | {errno.EIO, errno.ENOTCONN, errno.ECONNABORTED}
VERIFY = ("--verify=crc32c", "--verify_interval=4k", f"--size={OBJECT_BYTES}")


class Board:
    """What was verified, how jobs ended, and the faults."""

    def __init__(self) -> None:
        self.verified = 0
        self.ends: Counter[str] = Counter()
        self.faults: list[str] = []

    def fault(self, text: str) -> None:
        self.faults.append(text)
        print(f"FAULT {text}", flush=True)

    def note(self, ended: "Run", excused: frozenset[int]) -> None:
        """Count what a run of fio says of itself; some errors are none."""
        for job in ended.jobs():
            self.verified += job["read"]["io_bytes"]
            number = job["error"]
            self.ends[errno.errorcode.get(number, str(number)) if number else "well"] += 1
            if number not in excused:
                self.fault(f"{ended.name}: error {number}")
        for line in ended.log.read_text(errors="replace").splitlines():
            if "verify:" in line or "No such file" in line:
                self.fault(f"{ended.name}: {line}")


class Run:
    """One run of fio on a mount."""

    def __init__(self, place: Path, point: Path, jobs: int, order: str, block: str) -> None:
        self.name = f"{jobs} jobs, {order}, {block}"
        self.log = place / "fio.log"
        self._output = place / "fio.json"
        self._output.unlink(missing_ok=True)
        command = [
            *("fio", "--name=verify", f"--directory={point}", "--filename_format=$jobnum"),
            *(f"--numjobs={jobs}", f"--rw={order}", f"--bs={block}", *VERIFY, "--verify_fatal=1"),
            *("--allow_file_create=0", f"--aux-path={place}", "--output-format=json"),
            f"--output={self._output}",
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=place)

    def is_over(self, timeout_s: float) -> bool:
        """Whether it ends in that time."""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def jobs(self) -> list[dict[str, object]]:
        """What it reports of each job; nothing if it could not begin."""
        text = self._output.read_text() if self._output.exists() else ""
        start = text.find("{")  # notes stand before
        return json.loads(text[start:])["jobs"] if start >= 0 else []


def make_objects(place: Path, bucket: Path) -> None:
    """Have fio write them; each from another seed."""
    for number in range(OBJECTS):
        command = [
            *("fio", "--name=write", f"--filename={bucket / str(number)}", "--rw=write"),
            *("--bs=64k", *VERIFY, "--do_verify=0", f"--randseed={number + 1}"),
            f"--aux-path={place}",
        ]
        subprocess.run(command, cwd=place, stdout=subprocess.DEVNULL, check=True)


def prove_that_it_sees(place: Path, bucket: Path) -> None:
    """Raises AssertionError if fio takes a block of zeros for its own."""
    shutil.copytree(bucket, place / "wrong", ignore=lambda _, names: [n for n in names if n > "4"])
    with (place / "wrong/3").open("r+b") as file:
        file.seek(5 << 20)
        file.write(bytes(4096))
    board = Board()
    run = Run(place, place / "wrong", 4, "randread", "16k")
    assert run.is_over(PATIENCE_S)
    board.note(run, KILLED)
    assert board.ends["EILSEQ"] == 1, board.ends
    print("that one was made on purpose")


def soak(place: Path, chance: random.Random, seconds: float) -> Board:
    board = Board()
    with EmulatorProcess(place / "bucket") as emulator:
        make_objects(place, emulator.directory)
        prove_that_it_sees(place, emulator.directory)
        emulator.faults(total_bytes_per_s=BYTES_PER_S)
        with killed_mount(emulator, place / "mount", "--cache-size", CACHE) as mount:
            end = time.monotonic() + seconds
            kills = 0
            while time.monotonic() < end:
                mount.start()
                read_and_kill(place, mount, chance, board)
                kills += 1
                print(f"kill {kills:>4}: {board.verified / MIB:>9.1f} MiB verified", flush=True)
            compare(mount.start(), emulator.directory, board)
    ends = ", ".join(f"{count} {name}" for name, count in board.ends.most_common())
    print(f"{kills} kills, {board.verified / MIB:.0f} MiB verified; jobs ended: {ends}")
    return board


def read_and_kill(place: Path, mount: Mount, chance: random.Random, board: Board) -> None:
    """Runs of fio, the last of which a kill ends."""
    kill_at = time.monotonic() + chance.uniform(1, 5)
    while True:
        kind = [chance.choice(each) for each in (JOBS, ORDERS, BLOCKS)]
        run = Run(place, mount.point, *kind)
        was_whole = run.is_over(max(0.0, kill_at - time.monotonic()))
        if not was_whole:
            mount.crash()
            if not run.is_over(PATIENCE_S):
                board.fault(f"{run.name}: hangs")
                run.process.kill()
        board.note(run, WELL if was_whole else KILLED)
        if not was_whole:
            return


def compare(mount: Mount, bucket: Path, board: Board) -> None:
    for number in range(OBJECTS):
        if (mount.point / str(number)).read_bytes() != (bucket / str(number)).read_bytes():
            board.fault(f"object {number} is wrong")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ossfs-soak-") as place:
        board = soak(Path(place), random.Random(options.seed), options.minutes * 60)
    print(f"{len(board.faults)} faults")
    return int(bool(board.faults))


if __name__ == "__main__":
    sys.exit(main())
