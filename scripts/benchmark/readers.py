"""What the scenarios do with a mount. Each compares what it read after the clock has stopped."""

import os
import random
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

PAGE = 4096


class WrongBytes(Exception):
    """What was read is not what the bucket has."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds, and further figures by name."""

    seconds: float
    figures: dict[str, float] = field(default_factory=dict)


def copy_file(source: Path, target: Path, truth: Path) -> Outcome:
    """``cp`` of one file."""
    seconds = _timed("cp", source, target)
    _compare("cmp", target, truth)
    return Outcome(seconds)


def copy_tree(source: Path, target: Path, truth: Path) -> Outcome:
    """``cp -r`` of a directory."""
    seconds = _timed("cp", "-r", source, target)
    _compare("diff", "-r", target, truth)
    return Outcome(seconds)


def list_names(source: Path, count: int) -> Outcome:
    """``ls -l`` of a directory."""
    began = time.perf_counter()
    listed = subprocess.run(["ls", "-l", str(source)], capture_output=True, check=True).stdout
    seconds = time.perf_counter() - began
    if listed.count(b"\n") != count + 1:
        raise WrongBytes(f"{listed.count(10)} lines for {count} names")
    return Outcome(seconds)


def read_randomly(source: Path, truth: Path, count: int, readers: int, seed: int) -> Outcome:
    """Pages at random offsets, by several readers at once; the times of single reads as well."""
    offsets = [
        place * PAGE
        for place in random.Random(seed).sample(range(truth.stat().st_size // PAGE), count)
    ]
    descriptor = os.open(source, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)

        def read(offset: int) -> tuple[float, bytes]:
            began = time.perf_counter()
            data = os.pread(descriptor, PAGE, offset)
            return time.perf_counter() - began, data

        with ThreadPoolExecutor(readers) as threads:
            began = time.perf_counter()
            results = list(threads.map(read, offsets))
            seconds = time.perf_counter() - began
    finally:
        os.close(descriptor)
    with truth.open("rb") as file:
        for offset, (_, data) in zip(offsets, results, strict=True):
            if os.pread(file.fileno(), PAGE, offset) != data:
                raise WrongBytes(f"{source} at {offset}")
    milliseconds = sorted(1000 * taken for taken, _ in results)
    return Outcome(
        seconds,
        {
            "median ms": statistics.median(milliseconds),
            "p99 ms": milliseconds[len(milliseconds) * 99 // 100],
        },
    )


def materialize(source: Path, truth: Path) -> Outcome:
    """Ask for a whole directory in the background, and wait until all of it is there."""
    files = sorted(source.iterdir())
    began = time.perf_counter()
    os.setxattr(source, "user.ossfs.materialize", b"1")
    waiting = set(files)
    while waiting:
        waiting = {file for file in waiting if os.getxattr(file, "user.ossfs.state") != b"verified"}
        time.sleep(0.02)
    seconds = time.perf_counter() - began
    _compare("diff", "-r", source, truth)
    return Outcome(seconds)


def read_tree(source: Path, truth: Path) -> Outcome:
    """The same by eight readers, for those who cannot be asked."""
    files = sorted(source.iterdir())
    with ThreadPoolExecutor(8) as threads:
        began = time.perf_counter()
        list(threads.map(lambda file: _timed("cp", file, "/dev/null"), files))
        seconds = time.perf_counter() - began
    _compare("diff", "-r", source, truth)
    return Outcome(seconds)


def _timed(*command: object) -> float:
    began = time.perf_counter()
    subprocess.run([str(word) for word in command], check=True)
    return time.perf_counter() - began


def _compare(*command: object) -> None:
    if subprocess.run([str(word) for word in command], check=False).returncode:
        raise WrongBytes(" ".join(map(str, command)))
