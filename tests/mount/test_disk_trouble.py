"""Whatever happens to the cache's disk, a reader gets the right bytes."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

from support.disks import ext4_disk, tmpfs
from support.emulator import EmulatorProcess
from support.mount import PROGRAM, Mount, wait_for_end
from support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.fuse

MIB = 1 << 20
DATA = random.Random(5).randbytes(24 * MIB)
SMALL = DATA[: 3 * MIB]


@pytest.fixture
def small_disk(tmp_path: Path, emulator: EmulatorProcess) -> Iterator[Path]:
    """A cache directory of 8 MiB; the bucket has an object of 24 and one of 3."""
    (emulator.directory / "large").write_bytes(DATA)
    (emulator.directory / "small").write_bytes(SMALL)
    with tmpfs(tmp_path / "cache", 8 * MIB):
        yield tmp_path / "cache"


@pytest.fixture
def ext4(tmp_path: Path, emulator: EmulatorProcess) -> Iterator[Path]:
    """A cache directory on an ext4 file system of its own."""
    (emulator.directory / "large").write_bytes(DATA)
    (emulator.directory / "small").write_bytes(SMALL)
    with ext4_disk(tmp_path / "cache", 64 * MIB):
        yield tmp_path / "cache"


def drop_pages(mount: Mount) -> None:
    for name in os.listdir(mount.point):
        with (mount.point / name).open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def lines_about_the_cache(mount: Mount) -> list[str]:
    return [line for line in mount.log.read_text().splitlines() if "the cache c" in line]


def fill(disk: Path) -> None:
    """Another program takes all the room there is."""
    with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))


def test_a_full_disk_streams_through_and_recovers(
    emulator: EmulatorProcess, small_disk: Path, mounts: Callable[..., Mount]
) -> None:
    mount = mounts().start()
    fill(small_disk)
    assert (mount.point / "large").read_bytes() == DATA
    assert mount.statistics()["cache"]["error"]
    assert emulator.statistics()["bytes"] <= len(DATA) + 12 * MIB
    written = [line for line in lines_about_the_cache(mount) if "written" in line]
    assert len(written) == 1
    drop_pages(mount)
    assert (mount.point / "large").read_bytes() == DATA
    subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)

    def is_well() -> bool:
        drop_pages(mount)
        assert (mount.point / "large").read_bytes() == DATA
        return not mount.statistics()["cache"]["error"]

    eventually(is_well)
    eventually(lambda: mount.attribute("large", "state") in ("complete", "verified"))


def test_a_mount_on_a_full_disk_serves_what_it_has(
    emulator: EmulatorProcess, small_disk: Path, mounts: Callable[..., Mount]
) -> None:
    mount = mounts().start()
    assert (mount.point / "small").read_bytes() == SMALL
    mount.stop()
    fill(small_disk)
    before = emulator.statistics()["bytes"]
    mount.start()
    assert (mount.point / "small").read_bytes() == SMALL
    assert emulator.statistics()["bytes"] == before
    assert (mount.point / "large").read_bytes() == DATA


def test_a_cache_on_a_read_only_disk_is_read(
    emulator: EmulatorProcess, ext4: Path, mounts: Callable[..., Mount]
) -> None:
    mount = mounts().start()
    assert (mount.point / "small").read_bytes() == SMALL
    mount.stop()
    subprocess.run(["mount", "-o", "remount,ro", ext4], check=True)
    before = emulator.statistics()["bytes"]
    mount.start()
    assert (mount.point / "small").read_bytes() == SMALL
    assert emulator.statistics()["bytes"] == before
    assert (mount.point / "large").read_bytes() == DATA
    assert mount.statistics()["cache"]["error"]


def test_a_cache_killed_and_then_read_only_is_read(
    emulator: EmulatorProcess, ext4: Path, mounts: Callable[..., Mount]
) -> None:
    mount = mounts().start()
    assert (mount.point / "small").read_bytes() == SMALL
    eventually(lambda: mount.statistics()["cache"]["uncommitted_bytes"] == 0)
    mount.kill()
    subprocess.run(["mount", "-o", "remount,ro", ext4], check=True)
    mount.start()
    assert (mount.point / "small").read_bytes() == SMALL
    assert (mount.point / "large").read_bytes() == DATA


def test_a_disk_that_breaks_under_the_mount_streams_through(
    emulator: EmulatorProcess, ext4: Path, mounts: Callable[..., Mount]
) -> None:
    mount = mounts().start()
    assert (mount.point / "small").read_bytes() == SMALL
    subprocess.run(["mount", "-o", "remount,abort", ext4], check=False)
    drop_pages(mount)
    assert (mount.point / "large").read_bytes() == DATA
    assert (mount.point / "small").read_bytes() == SMALL
    assert mount.statistics()["cache"]["error"]
    assert sorted(os.listdir(mount.point)) == ["large", "small"]


@contextmanager
def frozen(disk: Path) -> Iterator[None]:
    """Whoever writes to the disk, or opens a file for writing, sleeps and cannot be killed."""
    subprocess.run(["fsfreeze", "-f", disk], check=True)
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "-u", disk], check=True)


def test_a_disk_that_hangs_holds_up_nobody_for_long_and_not_the_unmounting(
    emulator: EmulatorProcess, ext4: Path, mounts: Callable[..., Mount]
) -> None:
    mount = mounts().start()
    assert (mount.point / "small").read_bytes() == SMALL
    with frozen(ext4):
        assert (mount.point / "large").read_bytes() == DATA
        assert (mount.point / "small").read_bytes() == SMALL
        assert mount.statistics()["cache"]["error"]
        for ask in (
            lambda: os.listdir(mount.point),
            lambda: os.stat(mount.point / "large"),
            lambda: os.statvfs(mount.point),
            lambda: os.getxattr(mount.point / "large", "user.ossfs.status"),
            lambda: os.setxattr(mount.point / "large", "user.ossfs.evict", b"1"),
            lambda: os.setxattr(mount.point / "large", "user.ossfs.materialize", b"1"),
        ):
            began = time.monotonic()
            with suppress(OSError):
                ask()
            assert time.monotonic() - began < PATIENCE_S
        descriptor = os.pidfd_open(mount.pid)
        began = time.monotonic()
        os.kill(mount.pid, signal.SIGTERM)
        eventually(lambda: not os.path.ismount(mount.point))
        assert time.monotonic() - began < PATIENCE_S
    wait_for_end(descriptor)
    os.close(descriptor)
    mount.pid = 0
    mount.start()
    assert (mount.point / "large").read_bytes() == DATA
    assert (mount.point / "small").read_bytes() == SMALL
    assert "Traceback" not in mount.log.read_text()


# The command, but with three seconds where it has thirty.
IMPATIENT = """
from ossfs_resume import startup, cli
startup.OPEN_PATIENCE_SECONDS = 3.0
cli.main()
"""


def test_a_mount_on_a_disk_that_hangs_says_so(
    emulator: EmulatorProcess, ext4: Path, mounts: Callable[..., Mount]
) -> None:
    mounts().start().stop()
    mount = mounts()
    command = [sys.executable, "-c", IMPATIENT, *mount.command()[len(PROGRAM) :]]
    with frozen(ext4):
        result = subprocess.run(
            command,
            env=os.environ | emulator.environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert f"{ext4}: the cache did not answer" in result.stderr


def test_a_cache_directory_removed_under_the_mount_costs_nothing_but_the_cache(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    for name in ("large", "small"):
        (emulator.directory / name).write_bytes(DATA)
    mount = mounts().start()
    assert (mount.point / "small").read_bytes() == DATA
    shutil.rmtree(mount.cache)
    drop_pages(mount)
    assert (mount.point / "large").read_bytes() == DATA
    assert (mount.point / "small").read_bytes() == DATA
    eventually(lambda: "begins anew" in mount.log.read_text())

    def is_kept() -> bool:
        drop_pages(mount)
        assert (mount.point / "large").read_bytes() == DATA
        return mount.attribute("large", "state") in ("complete", "verified")

    eventually(is_kept)
    eventually(lambda: not mount.statistics()["cache"]["error"])
    before = emulator.statistics()["bytes"]
    mount.stop()
    mount.start()
    assert (mount.point / "large").read_bytes() == DATA
    assert emulator.statistics()["bytes"] == before


def cut(path: Path) -> None:
    os.truncate(path, 2 * MIB)


def cut_and_stretch(path: Path) -> None:
    cut(path)
    os.truncate(path, len(DATA))


def scribble(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(5 * MIB)
        file.write(bytes(MIB))


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize("touch", [Path.unlink, cut, cut_and_stretch, scribble])
def test_what_others_do_to_the_caches_files_is_noticed_before_a_byte_is_served(
    emulator: EmulatorProcess,
    mounts: Callable[..., Mount],
    touch: Callable[[Path], None],
    is_open: bool,
) -> None:
    (emulator.directory / "large").write_bytes(DATA)
    mount = mounts().start()
    assert (mount.point / "large").read_bytes() == DATA
    holder = (mount.point / "large").open("rb") if is_open else nullcontext()
    with holder:
        eventually(lambda: mount.statistics()["cache"]["open_entries"] == is_open)
        (path,) = mount.cache.glob("*/data/*/*")
        touch(path)
        drop_pages(mount)
        with (mount.point / "large").open("rb", buffering=0) as file:
            for offset in range(len(DATA) - MIB, -1, -MIB):
                assert os.pread(file.fileno(), MIB, offset) == DATA[offset : offset + MIB]
    drop_pages(mount)
    assert (mount.point / "large").read_bytes() == DATA
    assert mount.attribute("large", "state") == "verified"


def test_a_catalogue_damaged_under_the_mount_streams_through(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    (emulator.directory / "large").write_bytes(DATA)
    (emulator.directory / "small").write_bytes(SMALL)
    mount = mounts().start()
    assert (mount.point / "small").read_bytes() == SMALL
    mount.stop()
    mount.start()
    (catalog,) = mount.cache.glob("*/catalog.sqlite3")
    with catalog.open("r+b") as file:
        file.write(b"\xff" * os.path.getsize(catalog))
    assert (mount.point / "small").read_bytes() == SMALL
    assert (mount.point / "large").read_bytes() == DATA
    mount.stop()
    mount.start()
    assert (mount.point / "large").read_bytes() == DATA
    assert list(mount.cache.glob("*/damaged-*"))


def test_a_cache_directory_that_cannot_be_used_at_all_is_one_clear_line(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    mount = mounts()
    mount.cache.write_bytes(b"")
    result = mount.run()
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert str(mount.cache) in result.stderr
