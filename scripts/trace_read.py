"""The measurement behind scripts/trace-read: how many functions of ours one read passes through.

A mount runs with a profiler in every thread. Between the moment in which a read comes from the
kernel and the moment in which its answer goes there, each call of a function of this package is
noted, in whatever thread: going on after an await is none. The median of several reads is shown,
with the way of one of them.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any

import click

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = str(ROOT / "ossfs_resume")
MIB = 1 << 20
READS = 9
STRIDE = 9 * MIB  # no read continues another, and none is read ahead of
NOTES = "TRACE_READ_NOTES"


class Tracer:
    """Notes calls in all threads from the beginning of each read to its end."""

    def __init__(self) -> None:
        self._ways: list[list[str]] = []
        self._way: list[str] | None = None

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event not in ("call", "return") or not code.co_filename.startswith(PACKAGE):
            return
        name = code.co_filename.removeprefix(PACKAGE)[1:-3].replace("/", ".")
        is_read = code.co_qualname.endswith(".guard") and _guards_reads(frame)
        if event == "call" and code.co_code[frame.f_lasti + 1] & 3 == 0:  # no resumption
            if is_read:
                self._way = []
            if self._way is not None:
                thread = threading.current_thread().name
                self._way.append(f"{thread}: {name}.{code.co_qualname}")
        elif event == "return" and is_read and self._way is not None and _has_ended(frame):
            self._ways.append(self._way)
            self._way = None
            Path(os.environ[NOTES]).write_text(json.dumps(self._ways))


def _guards_reads(frame: FrameType) -> bool:
    return getattr(frame.f_locals.get("method"), "__name__", "") == "read"


def _has_ended(frame: FrameType) -> bool:
    """Whether a coroutine returns, and does not only wait."""
    import dis

    return dis.opname[frame.f_code.co_code[frame.f_lasti]] == "RETURN_VALUE"


def mount_traced(arguments: list[str]) -> None:
    """The command, under the profiler."""
    sys.path.insert(0, str(ROOT))
    from ossfs_resume.cli import main

    tracer = Tracer()
    threading.setprofile(tracer)
    sys.setprofile(tracer)
    sys.argv = ["ossfs-resume", *arguments]
    main()


@contextmanager
def mounted(place: Path) -> Iterator[Path]:
    """A traced mount of an emulated bucket with one object."""
    (place / "bucket").mkdir()
    (place / "bucket/object").write_bytes(os.urandom(MIB) * (STRIDE * READS // MIB))
    (place / "mnt").mkdir()
    reader, writer = os.pipe()
    emulate = [sys.executable, "-m", "ossfs_resume", "emulate", str(place / "bucket")]
    emulate += ["--bucket", "sample", "--port", "0", "--anonymous", "--ready-fd", str(writer)]
    with ExitStack() as stack:
        origin = subprocess.Popen(emulate, pass_fds=[writer], stdout=subprocess.DEVNULL, cwd=ROOT)
        stack.callback(origin.terminate)
        os.close(writer)
        with os.fdopen(reader) as ready:
            url = f"http://127.0.0.1:{ready.readline().strip()}"
        options = ["mount", "-f", "--endpoint", url, "--region", "cn-hangzhou", "--cache-free", "0"]
        options += ["--signature", "anonymous", "--cache-dir", str(place / "cache")]
        environment = os.environ | {NOTES: str(place / "notes")}
        command = [sys.executable, __file__, "--mount", *options, "oss://sample", place / "mnt"]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(subprocess.run, ["umount", place / "mnt"], check=False)
        while not os.path.ismount(place / "mnt") and process.poll() is None:
            pass
        yield place / "mnt"


def traced(point: Path, notes: Path) -> list[list[str]]:
    """The ways of reads far apart, one after the other."""
    before = len(json.loads(notes.read_text())) if notes.exists() else 0
    descriptor = os.open(point / "object", os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        for number in range(READS):
            os.pread(descriptor, 4096, number * STRIDE + MIB)
    finally:
        os.close(descriptor)
    return json.loads(notes.read_text())[before:]  # type: ignore[no-any-return]


@click.command()
@click.option("--way", is_flag=True, help="Show the functions, in their order.")
def main(*, way: bool) -> None:
    """Calls of ours between a read's request and its reply."""
    directory = tempfile.TemporaryDirectory(prefix="trace-read-")
    with directory as place, mounted(Path(place)) as point:
        for kind in ("cold", "cached"):
            ways = traced(point, Path(place) / "notes")
            print(f"{kind}: {median(map(len, ways)):g} calls")
            if way:
                print("\n".join(f"  {step}" for step in ways[-1]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--mount"]:
        mount_traced(sys.argv[2:])
    else:
        main()
