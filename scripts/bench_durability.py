"""Compares the variants of ``durability_variants.py``, alternating; prints the ratios."""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support import mount as mounts
from support.emulator import EmulatorProcess
from support.mount import Mount
from support.processes import cpu_seconds
from support.resume import MIB, make_object

SCRIPT = Path(__file__).with_name("durability_variants.py")
VARIANTS = ("off", "on", "slow")
Runs = list[tuple[float, float]]
"""Seconds and CPU seconds of each run."""
Figures = dict[str, Runs]


def through_the_store(place: Path, variant: str, size: int) -> tuple[float, float]:
    command = [sys.executable, str(SCRIPT), variant, "store", str(place / "cache"), str(size)]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    shutil.rmtree(place / "cache")
    seconds, cpu = map(float, output.split())
    return seconds, cpu


def through_a_mount(place: Path, emulator: EmulatorProcess, variant: str) -> tuple[float, float]:
    mounts.PROGRAM[:] = [sys.executable, str(SCRIPT), variant]
    with Mount(emulator, place, is_forked=False) as mount:
        before, started = cpu_seconds(mount.pid), time.perf_counter()
        subprocess.run(["cp", str(mount.point / "object"), "/dev/null"], check=True)
        result = time.perf_counter() - started, cpu_seconds(mount.pid) - before
    shutil.rmtree(mount.cache)
    return result


def report(title: str, figures: Figures) -> None:
    print(f"{title:<20}{'median':>9}{'best':>9}{'CPU':>9}{'ratio':>9}{'of best':>9}{'of CPU':>9}")
    for variant, runs in figures.items():
        times = "".join(f"{value:>7.2f} s" for value in summary(runs))
        print(
            f"  {variant:<18}{times}" + "".join(f"{x:>9.3f}" for x in ratios(runs, figures["off"]))
        )


def summary(runs: Runs) -> tuple[float, float, float]:
    """Median and best of the seconds, median of the CPU seconds."""
    seconds = [run[0] for run in runs]
    return statistics.median(seconds), min(seconds), statistics.median(run[1] for run in runs)


def ratios(runs: Runs, base: Runs) -> tuple[float, float, float]:
    """Median of the ratios of seconds in each round, ratio of the best, median for the CPU."""
    pairs = list(zip(runs, base, strict=True))
    return (
        statistics.median(mine[0] / theirs[0] for mine, theirs in pairs),
        min(run[0] for run in runs) / min(run[0] for run in base),
        statistics.median(mine[1] / theirs[1] for mine, theirs in pairs),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024, help="of the object, in MiB")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--directory", help="on the disk to measure; default the temporary one")
    options = parser.parse_args()
    size = options.size * MIB
    stored: Figures = {variant: [] for variant in VARIANTS}
    copied: Figures = {variant: [] for variant in VARIANTS}
    with tempfile.TemporaryDirectory(prefix="ossfs-bench-", dir=options.directory) as name:
        place = Path(name)
        with EmulatorProcess(place / "bucket") as emulator:
            make_object(emulator, size)
            for number in range(options.rounds):
                shift = number % len(VARIANTS)
                for variant in VARIANTS[shift:] + VARIANTS[:shift]:
                    stored[variant].append(through_the_store(place, variant, size))
                    copied[variant].append(through_a_mount(place, emulator, variant))
    print(f"{options.size} MiB, {options.rounds} rounds; slow: every flush takes 5 ms more")
    report("through the store", stored)
    report("cp through a mount", copied)


if __name__ == "__main__":
    main()
