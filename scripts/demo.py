"""The demonstration behind scripts/demo: mount, copy, kill -9, mount again, finish, compare."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from demo_picture import Sample, draw

from ossfs_resume.quantities import format_size

MIB = 1 << 20
SAMPLE_S = 0.1
LINK_BYTES_PER_SECOND = 40 * MIB
PROGRAM = [sys.executable, "-m", "ossfs_resume"]
ACCESS_KEY = {"OSS_ACCESS_KEY_ID": "emulator", "OSS_ACCESS_KEY_SECRET": "emulator-secret"}
# What the user has set for a bucket of his own must not reach this one.
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith(("OSS_", "OSSFS_"))
} | ACCESS_KEY
REAL_DATA = ("/usr/lib", "/usr/bin", "/usr/share", "/usr/local", "/var/lib")
COPY_BYTES = 4 * MIB


def say(text: str) -> None:
    click.echo(f"\n{text}")


@click.command()
@click.option("--size", default=1024, help="MiB of the object that is copied.", show_default=True)
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.svg",
    help="Draw what was copied and what was fetched over time.",
)
def main(size: int, picture: Path | None) -> None:
    """Run the whole demonstration in a directory that is removed at the end."""
    size *= MIB
    try:
        with tempfile.TemporaryDirectory(
            prefix="ossfs-resume-demo-", dir=roomy_directory(size)
        ) as name:
            record = demonstrate(Path(name), size)
    except KeyboardInterrupt:
        click.echo("\nInterrupted; everything is cleaned up.")
        sys.exit(130)
    if picture is not None:
        picture.write_text(draw(record.samples, record.death, record.revival, size // MIB))
    say(
        "Everything is cleaned up. To mount a bucket of your own:\n\n"
        "  export OSS_ACCESS_KEY_ID=... OSS_ACCESS_KEY_SECRET=...\n"
        "  .venv/bin/ossfs-resume mount --region cn-hangzhou oss://YOUR-BUCKET /mnt"
    )


def demonstrate(place: Path, size: int) -> "Record":
    """Make a bucket, mount it and show what the user sees; nothing runs any more at the end."""
    say(
        "1. Preparing a bucket of real files: this system's documentation and an archive of "
        f"{format_size(size)}."
    )
    bucket = place / "bucket"
    make_bucket(bucket, size)
    with endpoint(bucket) as url, mounting(place, url) as mount:
        say(f"2. Mounting it from a local OSS endpoint ({format_size(LINK_BYTES_PER_SECOND)}/s).")
        mount.start()
        names = sorted(os.listdir(mount.point))
        click.echo(f"   $ ls {mount.point}\n   {'  '.join(names)}")
        with Record(url).running() as record:
            copy_twice(place / "copy.tar", mount, record, size)
        compare(place, place / "copy.tar", fetched_bytes(url), size)
    return record


def copy_twice(copy: Path, mount: "Mounting", record: "Record", size: int) -> None:
    """Copy until the mount is killed, mount, copy."""
    source = mount.point / "archive.tar"

    def kill() -> None:
        record.death = record.now()
        mount.kill()

    say("3. Copying archive.tar, and killing the mount with kill -9 half-way.")
    with progress_shown(size) as advance:
        if copy_file(source, copy, [advance, record.advance, at(size // 2, kill)]):
            raise SystemExit("the copy outlived the mount")
    before = fetched_bytes(record.url)
    click.echo(f"   Killed. The copy has failed; {format_size(before)} had been downloaded.")

    say("4. Mounting again and copying again. What is on disk is not downloaded twice.")
    mount.start()
    progress = os.getxattr(source, "user.ossfs.progress").decode()
    click.echo(f"   $ getfattr -n user.ossfs.progress archive.tar\n   {progress}")
    record.copied, record.revival = 0, record.now()
    with progress_shown(size) as advance:
        if not copy_file(source, copy, [advance, record.advance]):
            raise SystemExit("the second copy failed")


def compare(place: Path, copy: Path, total: int, size: int) -> None:
    """Say whether the copy is right, and what it has cost."""
    say("5. Comparing.")
    if sha256(copy) != sha256(place / "bucket/archive.tar"):
        raise SystemExit("   The copy DIFFERS from the original.")
    click.echo(f"   Copy and original are identical (SHA-256 {sha256(copy)[:16]}...).")
    click.echo(
        f"   Downloaded in all: {total / MIB:.1f} MiB for an object of {size // MIB} MiB; "
        f"fetched twice: {(total - size) / MIB:.1f} MiB."
    )
    click.echo("   rclone, s3fs and ossfs 1 would have fetched all of the first half again.")


class Record:
    """What was copied, what the endpoint has sent, and when; for the picture."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.copied = 0
        self.samples: list[Sample] = []
        self.death = self.revival = 0.0
        self._began = time.monotonic()
        self._ended = threading.Event()

    def advance(self, count: int) -> None:
        """So many bytes more were copied."""
        self.copied += count

    def now(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    @contextlib.contextmanager
    def running(self) -> Iterator["Record"]:
        """Take samples meanwhile."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()

    def _run(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            self._sample()
        self._sample()

    def _sample(self) -> None:
        with contextlib.suppress(OSError):  # an endpoint that has ended
            fetched = fetched_bytes(self.url)
            self.samples.append(Sample(self.now(), self.copied / MIB, fetched / MIB))


def roomy_directory(size: int) -> str:
    """A directory on a disk that holds bucket, cache and copy. Exits if there is none."""
    needed = 3 * size + 512 * MIB
    for candidate in (tempfile.gettempdir(), "/var/tmp", os.path.expanduser("~")):
        if os.access(candidate, os.W_OK) and shutil.disk_usage(candidate).free > needed:
            return candidate
    raise SystemExit(f"The demo needs {format_size(needed)} of free disk; set TMPDIR to a place.")


def make_bucket(bucket: Path, size: int) -> None:
    """The documentation tree as it is, and an archive of exactly ``size`` bytes."""
    bucket.mkdir()
    shutil.copytree(
        "/usr/share/doc", bucket / "doc", symlinks=False, ignore=unreadable, dirs_exist_ok=True
    )
    with (bucket / "archive.tar").open("wb") as archive:
        while archive.tell() < size:
            command = ["tar", "-c", "--ignore-failed-read", *REAL_DATA]
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as tar:
                assert tar.stdout is not None
                while archive.tell() < size and (data := tar.stdout.read(MIB)):
                    archive.write(data[: size - archive.tell()])
                tar.kill()


def unreadable(directory: str, names: list[str]) -> list[str]:
    """What is no readable regular file or directory stays out of the bucket."""
    paths = [(name, os.path.join(directory, name)) for name in names]
    return [
        name
        for name, path in paths
        if not os.access(path, os.R_OK) or not (os.path.isfile(path) or os.path.isdir(path))
    ]


@contextlib.contextmanager
def endpoint(bucket: Path) -> Iterator[str]:
    """The emulated OSS, on a free port, over a link of limited speed."""
    reader, writer = os.pipe()
    fault = f"total_bytes_per_s={LINK_BYTES_PER_SECOND}"
    command = [*PROGRAM, "emulate", str(bucket), "--bucket", "sample", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--ready-fd", str(writer), "--fault", fault],
        pass_fds=[writer],
        stdout=subprocess.DEVNULL,
        env=ENVIRONMENT,
        start_new_session=True,  # Ctrl-C is for this program, which ends the others in their order
    )
    os.close(writer)
    try:
        with os.fdopen(reader) as ready:
            port = ready.readline().strip()
        if not port:
            raise SystemExit("the local OSS endpoint did not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


class Mounting:
    """The mount as a child process that can be killed."""

    def __init__(self, place: Path, url: str) -> None:
        self.point = place / "mnt"
        self.point.mkdir()
        self._command = [
            *PROGRAM,
            "mount",
            "--foreground",
            "--config",
            os.devnull,
            "--log-level",
            "error",
        ]
        self._command += ["--endpoint", url, "--cache-dir", str(place / "cache")]
        self._command += ["--region", "cn-hangzhou", "oss://sample", str(self.point)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Mount; return when it answers."""
        self._process = subprocess.Popen(self._command, env=ENVIRONMENT, start_new_session=True)
        while not os.path.ismount(self.point):
            if self._process.poll() is not None:
                raise SystemExit("the mount did not start")
            time.sleep(0.05)
        os.listdir(self.point)

    def kill(self) -> None:
        """As a crash would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """As a user would, whatever state it is in."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        lazily = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-u", "-z"]
        subprocess.run([*lazily, str(self.point)], stderr=subprocess.DEVNULL, check=False)


@contextlib.contextmanager
def mounting(place: Path, url: str) -> Iterator[Mounting]:
    """A mount that is gone at the end, however the demonstration ends."""
    mount = Mounting(place, url)
    try:
        yield mount
    finally:
        mount.stop()


def copy_file(source: Path, target: Path, watchers: list[Callable[[int], None]]) -> bool:
    """Copy as cp does, telling ``watchers`` of every piece. False if the source failed."""
    descriptor = os.open(source, os.O_RDONLY)
    try:
        with target.open("wb") as writer:
            while data := os.read(descriptor, COPY_BYTES):
                writer.write(data)
                for watch in watchers:
                    watch(len(data))
    except OSError:
        return False
    finally:
        # A file of a mount that is gone cannot be closed without an error, which must not take the
        # place of an interrupt.
        with contextlib.suppress(OSError):
            os.close(descriptor)
    return True


def at(count: int, act: Callable[[], None]) -> Callable[[int], None]:
    """A watcher that calls ``act`` once ``count`` bytes have gone by."""
    left = count

    def advance(more: int) -> None:
        nonlocal left
        was_left, left = left, left - more
        if left <= 0 < was_left:
            act()

    return advance


@contextlib.contextmanager
def progress_shown(size: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, a line for each eighth elsewhere; yields what to call with counts."""
    if sys.stdout.isatty():
        with click.progressbar(length=size, label="   copying", width=40) as bar:
            yield bar.update
        return
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        if before * 8 // size != done * 8 // size:
            click.echo(f"   copied {format_size(done)} of {format_size(size)}")

    yield advance


def fetched_bytes(url: str) -> int:
    """What the endpoint has sent of the archive."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{url}/-/statistics") as answer:
        return int(json.load(answer)["bytes_by_key"].get("archive.tar", 0))


def sha256(path: Path) -> str:
    """Hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main(standalone_mode=False)
