"""The measurement behind scripts/bench: times of one run, and their ratios.

Every competitor copies the same object from the same local endpoint to the same disk, in turn, and
the turns are repeated; the best time of each counts, for whatever else the machine does only ever
adds to it. A competitor that is not installed is left out and said so.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

MIB = 1 << 20
PROGRAM = [sys.executable, "-m", "ossfs_resume"]
# The runner's CA bundle variables make rclone's S3 client refuse to start.
ENVIRONMENT = {name: value for name, value in os.environ.items() if "CA_BUNDLE" not in name} | {
    "OSS_ACCESS_KEY_ID": "emulator",
    "OSS_ACCESS_KEY_SECRET": "emulator-secret",
}
RCLONE = "[origin]\ntype = s3\nprovider = Other\nendpoint = {url}\nforce_path_style = true\n"


def run(*command: object) -> None:
    """Run a command that must succeed."""
    subprocess.run([str(word) for word in command], env=ENVIRONMENT, check=True)


def timed(action: Callable[[], None]) -> float:
    """Seconds that an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


class Bench:
    """One origin, one object, one disk."""

    def __init__(self, place: Path, url: str) -> None:
        self.place = place
        self.url = url
        self.target = place / "copy"
        self.point = place / "mnt"
        self.point.mkdir()

    def copy(self, source: Path) -> float:
        """Time of cp; the copy is compared and removed afterwards."""
        seconds = timed(lambda: run("cp", source, self.target))
        run("cmp", self.target, self.place / "bucket/object")
        self.target.unlink()
        return seconds

    def ours(self) -> Iterator[tuple[str, float]]:
        """Cold, and warm from the cache."""
        cache = self.place / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        options = ["--endpoint", self.url, "--region", "cn-hangzhou", "--cache-dir", cache]
        run(*PROGRAM, "mount", *options, "oss://sample", self.point)
        with unmounting(self.point):
            yield "ossfs-resume cold", self.copy(self.point / "object")
            yield "ossfs-resume warm", self.copy(self.point / "object")

    def rclone(self) -> Iterator[tuple[str, float]]:
        """With its defaults, which keep nothing, and with its cache of files."""
        settings = self.place / "rclone.conf"
        settings.write_text(RCLONE.format(url=self.url))
        cache = self.place / "rclone-cache"
        shutil.rmtree(cache, ignore_errors=True)
        base = ["rclone", "--config", settings, "mount", "origin:sample", self.point, "--daemon"]
        run(*base)
        with unmounting(self.point):
            yield "rclone mount, defaults", self.copy(self.point / "object")
        run(*base, "--vfs-cache-mode", "full", "--cache-dir", cache)
        with unmounting(self.point):
            yield "rclone mount, full cache, cold", self.copy(self.point / "object")

    def limits(self) -> Iterator[tuple[str, float]]:
        """What the network and the disk alone take."""
        url = f"{self.url}/sample/object"
        yield (
            "curl -o",
            timed(lambda: run("curl", "--silent", "--noproxy", "*", "-o", self.target, url)),
        )
        self.target.unlink()
        yield "cp on the disk", self.copy(self.place / "bucket/object")


@contextmanager
def unmounting(point: Path) -> Iterator[None]:
    """Unmount at the end, however the copy went."""
    try:
        yield
    finally:
        run("umount", point)


@contextmanager
def endpoint(bucket: Path) -> Iterator[str]:
    """The emulated OSS on a free port; it accepts unsigned requests as well."""
    reader, writer = os.pipe()
    command = [*PROGRAM, "emulate", str(bucket), "--bucket", "sample", "--port", "0", "--anonymous"]
    process = subprocess.Popen(
        [*command, "--ready-fd", str(writer)],
        pass_fds=[writer],
        stdout=subprocess.DEVNULL,
        env=ENVIRONMENT,
    )
    os.close(writer)
    try:
        with os.fdopen(reader) as ready:
            yield f"http://127.0.0.1:{ready.readline().strip()}"
    finally:
        process.terminate()
        process.wait()


@click.command()
@click.option("--size", default=1024, show_default=True, help="Size of the object in MiB.")
@click.option("--rounds", default=3, show_default=True, help="How often each takes its turn.")
@click.option("--directory", default=tempfile.gettempdir(), help="A directory on the disk to use.")
def main(size: int, rounds: int, directory: str) -> None:
    """Measure and print a table."""
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(dir=directory))
        place = Path(name)
        (place / "bucket").mkdir()
        block = random.Random(0).randbytes(16 * MIB)
        with (place / "bucket/object").open("wb") as file:
            for start in range(0, size * MIB, len(block)):
                file.write(block[: size * MIB - start])
        url = stack.enter_context(endpoint(place / "bucket"))
        bench = Bench(place, url)
        turns = [bench.limits, bench.ours]
        if shutil.which("rclone"):
            turns.append(bench.rclone)
        else:
            click.echo("rclone is not installed and left out: apt-get install rclone")
        best: dict[str, float] = {}
        for _ in range(rounds):
            for turn in turns:
                for what, seconds in turn():
                    best[what] = min(seconds, best.get(what, seconds))
        report(best, size)


def report(best: dict[str, float], size: int) -> None:
    """Best time of each, its rate, and its ratio to ours."""
    ours = best["ossfs-resume cold"]
    click.echo(f"{size} MiB, best of each; the ratio is its time to a cold copy of ours")
    for what, seconds in best.items():
        click.echo(
            f"{what:32} {seconds:6.2f} s  {size / seconds:6.0f} MiB/s  {seconds / ours:5.2f}"
        )


if __name__ == "__main__":
    main()
