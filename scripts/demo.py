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
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from ossfs_resume.quantities import format_size

MIB = 1 << 20
ARCHIVE_BYTES = 1024 * MIB
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


def main() -> None:
    """Run the whole demonstration in a directory that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="ossfs-resume-demo-", dir=roomy_directory()) as name:
        place = Path(name)
        say("1. Preparing a bucket of real files: this system's documentation and a 1 GiB archive.")
        bucket = place / "bucket"
        make_bucket(bucket)
        with endpoint(bucket) as url, mounting(place, url) as mount:
            demonstrate(place, url, mount)
    say(
        "Everything is cleaned up. To mount a bucket of your own:\n\n"
        "  export OSS_ACCESS_KEY_ID=... OSS_ACCESS_KEY_SECRET=...\n"
        "  .venv/bin/ossfs-resume mount --region cn-hangzhou oss://YOUR-BUCKET /mnt"
    )


def demonstrate(place: Path, url: str, mount: "Mounting") -> None:
    """What the user sees."""
    say(f"2. Mounting it from a local OSS endpoint ({format_size(LINK_BYTES_PER_SECOND)}/s).")
    mount.start()
    names = sorted(os.listdir(mount.point))
    click.echo(f"   $ ls {mount.point}\n   {'  '.join(names)}")

    source, copy = mount.point / "archive.tar", place / "copy.tar"
    say("3. Copying archive.tar, and killing the mount with kill -9 half-way.")
    finished = copy_file(source, copy, kill_at=ARCHIVE_BYTES // 2, kill=mount.kill)
    before = fetched_bytes(url)
    assert not finished
    click.echo(f"   Killed. The copy has failed; {format_size(before)} had been downloaded.")

    say("4. Mounting again and copying again. What is on disk is not downloaded twice.")
    mount.start()
    progress = os.getxattr(source, "user.ossfs.progress").decode()
    click.echo(f"   $ getfattr -n user.ossfs.progress archive.tar\n   {progress}")
    if not copy_file(source, copy):
        raise SystemExit("the second copy failed")

    say("5. Comparing.")
    original = place / "bucket/archive.tar"
    if sha256(copy) != sha256(original):
        raise SystemExit("   The copy DIFFERS from the original.")
    total = fetched_bytes(url)
    click.echo(f"   Copy and original are identical (SHA-256 {sha256(copy)[:16]}...).")
    click.echo(
        f"   Downloaded in all: {total / MIB:.1f} MiB for an object of {ARCHIVE_BYTES // MIB} MiB; "
        f"fetched twice: {(total - ARCHIVE_BYTES) / MIB:.1f} MiB."
    )
    click.echo("   Other mounts would have fetched all of the first half again.")


def roomy_directory() -> str:
    """A directory on a disk that holds bucket, cache and copy. Exits if there is none."""
    needed = 3 * ARCHIVE_BYTES + 512 * MIB
    for candidate in (tempfile.gettempdir(), "/var/tmp", os.path.expanduser("~")):
        if os.access(candidate, os.W_OK) and shutil.disk_usage(candidate).free > needed:
            return candidate
    raise SystemExit(f"The demo needs {format_size(needed)} of free disk; set TMPDIR to a place.")


def make_bucket(bucket: Path) -> None:
    """The documentation tree as it is, and an archive of exactly 1 GiB."""
    bucket.mkdir()
    shutil.copytree(
        "/usr/share/doc", bucket / "doc", symlinks=False, ignore=unreadable, dirs_exist_ok=True
    )
    with (bucket / "archive.tar").open("wb") as archive:
        while archive.tell() < ARCHIVE_BYTES:
            command = ["tar", "-c", "--ignore-failed-read", *REAL_DATA]
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as tar:
                assert tar.stdout is not None
                while archive.tell() < ARCHIVE_BYTES and (data := tar.stdout.read(MIB)):
                    archive.write(data[: ARCHIVE_BYTES - archive.tell()])
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
        self._process = subprocess.Popen(self._command, env=ENVIRONMENT)
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


def copy_file(source: Path, target: Path, kill_at: int = -1, kill: Callable = bool) -> bool:
    """Copy as cp does, showing progress; at ``kill_at`` bytes call ``kill``. True if all came."""
    copied = 0
    with (
        progress_shown() as advance,
        contextlib.suppress(OSError),
        source.open("rb", buffering=0) as reader,
        target.open("wb") as writer,
    ):
        while data := reader.read(COPY_BYTES):
            writer.write(data)
            copied += len(data)
            advance(len(data))
            if 0 <= kill_at <= copied:
                kill_at = -1
                kill()
    return copied == ARCHIVE_BYTES


@contextlib.contextmanager
def progress_shown() -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, a line for each eighth elsewhere; yields what to call with counts."""
    if sys.stdout.isatty():
        with click.progressbar(length=ARCHIVE_BYTES, label="   copying", width=40) as bar:
            yield bar.update
        return
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        if before * 8 // ARCHIVE_BYTES != done * 8 // ARCHIVE_BYTES:
            click.echo(f"   copied {format_size(done)} of {format_size(ARCHIVE_BYTES)}")

    yield advance


def fetched_bytes(url: str) -> int:
    """What the endpoint has sent of the archive."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{url}/-/statistics") as answer:
        return int(json.load(answer)["bytes_by_key"]["archive.tar"])


def sha256(path: Path) -> str:
    """Hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
