"""Limits on the bytes per second, and on the requests of an origin that says "slow down"."""

import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount
from support.waiting import eventually

pytestmark = pytest.mark.fuse

MIB = 1 << 20


def put(emulator: EmulatorProcess, name: str, size: int) -> bytes:
    data = random.Random(name).randbytes(size)
    (emulator.directory / name).write_bytes(data)
    return data


def timed(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def materialize(mount: Mount, name: str) -> None:
    os.setxattr(mount.point / name, "user.ossfs.materialize", b"1")
    eventually(lambda: mount.attribute(name, "state") == "verified")


# A loaded machine takes its time beyond the limit's; that a limit is no stricter than it says is
# shown to the hundredth with `Budget`.


def test_a_reader_gets_the_bandwidth_and_no_more(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    data = put(emulator, "file", 16 * MIB)
    mount = mounts(options=["--bandwidth", "4M"]).start()
    seconds = timed(lambda: mount_reads(mount, "file", data))
    assert 4 * 0.9 < seconds < 4 * 2


def test_many_readers_share_the_bandwidth(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    files = {f"file {number}": put(emulator, f"file {number}", 2 * MIB) for number in range(8)}
    mount = mounts(options=["--bandwidth", "4M"]).start()

    def read_all() -> None:
        with ThreadPoolExecutor(len(files)) as pool:
            for read in [pool.submit(mount_reads, mount, *each) for each in files.items()]:
                read.result()

    assert 4 * 0.9 < timed(read_all) < 4 * 2


def mount_reads(mount: Mount, name: str, data: bytes) -> None:
    assert (mount.point / name).read_bytes() == data


def test_the_background_has_its_own_limit_and_readers_do_not_feel_it(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    put(emulator, "background", 3 * MIB)
    data = put(emulator, "foreground", 12 * MIB)
    mount = mounts(options=["--background-bandwidth", "1M"]).start()
    seconds = timed(lambda: materialize(mount, "background"))
    assert 3 * 0.9 < seconds < 3 * 2
    assert timed(lambda: mount_reads(mount, "foreground", data)) < 12 / 2


def test_a_limit_below_the_timeout_is_no_failure(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    """One piece of a mebibyte takes longer than the reader's patience: but bytes do arrive."""
    data = put(emulator, "file", 2 * MIB)
    mount = mounts(options=["--bandwidth", "300K", "--timeout", "3"]).start()
    mount_reads(mount, "file", data)


def test_all_slow_down_when_told_and_recover(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    data = put(emulator, "file", 8 * MIB)
    more = put(emulator, "more", 32 * MIB)
    mount = mounts(options=["--request-size", "256KiB"]).start()
    # Slow enough for several rounds of refusals: one round cuts once.
    emulator.faults(
        kinds=["get"], fail_every=4, fail_code="DownloadTrafficRateLimitExceeded", latency_ms=300
    )
    # The pace recovers by itself as time goes by, so the slowest moment is looked for meanwhile.
    reader = threading.Thread(target=mount_reads, args=(mount, "file", data))
    reader.start()
    slowest = mount.statistics()["origin"]["concurrency"]
    while reader.is_alive():
        slowest = min(slowest, mount.statistics()["origin"]["concurrency"])
    assert mount.statistics()["origin"]["throttled"] > 0
    assert slowest < 16
    emulator.faults()
    mount_reads(mount, "more", more)
    assert mount.statistics()["origin"]["concurrency"] > slowest
