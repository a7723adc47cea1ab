"""Without a network, what was listed is listed and what was cached is read; nothing is gone."""

import errno
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount
from support.objects import bytes_now
from support.processes import cpu_seconds
from support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.fuse

DATA = random.Random(9).randbytes(3_000_000)


@pytest.fixture
def known(emulator: EmulatorProcess, mounts: Callable[..., Mount]) -> Mount:
    """A bucket that was listed and read in part, and then unmounted."""
    for name in ("cached", "never read", "a/b/deep", "a/b/deep not read"):
        path = emulator.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(DATA)
    mount = mounts(options=["--timeout", "4", "--metadata-ttl", "1"]).start()
    assert sorted(os.listdir(mount.point)) == ["a", "cached", "never read"]
    assert (mount.point / "cached").read_bytes() == DATA
    # By name alone: no listing of a or of a/b is ever asked for.
    assert (mount.point / "a/b/deep").read_bytes() == DATA
    mount.stop()
    return mount


def refused(path: Path) -> int:
    with pytest.raises(OSError) as raised:
        path.read_bytes()
    return raised.value.errno


def assert_serves_what_it_has(mount: Mount) -> None:
    assert sorted(os.listdir(mount.point)) == ["a", "cached", "never read"]
    assert (mount.point / "cached").read_bytes() == DATA
    assert (mount.point / "never read").stat().st_size == len(DATA)
    assert (mount.point / "a/b/deep").read_bytes() == DATA
    for path in ("a/b/deep not read", "never read", "nobody knows"):
        assert refused(mount.point / path) in (errno.EIO, errno.ETIMEDOUT), path
    assert (mount.point / "cached").read_bytes() == DATA


def test_a_mount_starts_and_works_while_the_endpoint_is_down(
    emulator: EmulatorProcess, known: Mount
) -> None:
    times = os.stat(emulator.directory / "cached").st_mtime
    emulator.stop()
    known.start()
    assert_serves_what_it_has(known)
    assert int((known.point / "cached").stat().st_mtime) == int(times)
    emulator.start()
    eventually(lambda: bytes_now(known.point / "never read") == DATA)
    assert (known.point / "a/b/deep not read").read_bytes() == DATA


def test_offline_on_purpose_sends_nothing_and_waits_for_nothing(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], known: Mount
) -> None:
    emulator.reset()
    mount = mounts(options=["--offline", "--timeout", str(10 * PATIENCE_S)]).start()
    began = time.monotonic()
    assert_serves_what_it_has(mount)
    assert time.monotonic() - began < PATIENCE_S
    assert emulator.requests() == []
    mount.stop()
    known.start()
    assert (known.point / "never read").read_bytes() == DATA


def test_offline_for_a_bucket_that_was_never_mounted_is_refused(
    mounts: Callable[..., Mount],
) -> None:
    result = mounts(options=["--offline"]).run()
    assert result.returncode == 1
    assert "never mounted" in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_network_breaks_under_the_mount_and_comes_back(
    emulator: EmulatorProcess, known: Mount
) -> None:
    known.start()
    emulator.stop()
    time.sleep(1.1)  # The listing is asked for anew after the TTL, and cannot be.
    assert_serves_what_it_has(known)
    emulator.start()
    (emulator.directory / "new").write_bytes(b"new")
    eventually(lambda: "new" in os.listdir(known.point))
    assert (known.point / "new").read_bytes() == b"new"


def test_directories_keep_their_time_and_inodes_over_a_remount(known: Mount) -> None:
    known.start()
    before = {name: (known.point / name).stat() for name in ("", "a", "a/b", "cached")}
    known.stop()
    known.start()
    for name, status in before.items():
        now = (known.point / name).stat()
        assert (now.st_ino, now.st_mtime_ns) == (status.st_ino, status.st_mtime_ns), name


def test_a_directory_of_100000_names_is_listed_from_the_cache_in_seconds(
    start_emulator: Callable[..., EmulatorProcess], tmp_path: Path
) -> None:
    emulator = start_emulator(options=["--invent-keys", "100000"])
    with Mount(emulator, tmp_path) as mount:
        assert len(os.listdir(mount.point / "invented")) == 100_000
    emulator.stop()
    with Mount(emulator, tmp_path, options=["--offline"]) as offline:
        before = cpu_seconds(offline.pid)
        assert len(os.listdir(offline.point / "invented")) == 100_000
        used = cpu_seconds(offline.pid) - before
    assert used < 10
    print(f"100 000 names from the cache in {used:.2f} s of processor time")
