"""Killed at any moment, the next access fetches only what is missing."""

import errno
import os
import random
import threading
from collections.abc import Callable

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount
from support.resume import MIB, check_claims, fetched, make_object, read_until

pytestmark = pytest.mark.fuse


@pytest.mark.timeout(300)
def test_a_copy_killed_half_way_refetches_at_most_64_mib(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    size = 192 * MIB
    data = make_object(emulator, size)
    emulator.faults(connection_bytes_per_s=20e6)
    mount = mounts().start()
    assert read_until(mount.point / "object", size // 2) >= size // 2
    mount.kill()
    mount.start()
    assert (mount.point / "object").read_bytes() == data
    assert size <= fetched(emulator) <= size + 64 * MIB
    assert mount.attribute("object", "state") == "verified"


@pytest.mark.timeout(300)
def test_twenty_kills_at_random_moments_never_claim_or_serve_a_wrong_byte(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("KILL_SEED", "1"))
    chance = random.Random(seed)
    size = 48 * MIB + 12345
    data = make_object(emulator, size)
    mount = mounts(options=["--part-size", "64KiB"])
    emulator.faults(total_bytes_per_s=24e6)
    for _ in range(20):
        mount.start()
        reader = threading.Thread(target=read_until, args=(mount.point / "object", size))
        reader.start()
        reader.join(chance.uniform(0, 0.3))
        mount.kill()
        reader.join()
        check_claims(mount.cache, {"object": data})
    emulator.faults()
    mount.start()
    assert (mount.point / "object").read_bytes() == data
    assert mount.attribute("object", "state") == "verified"
    with capsys.disabled():
        print(f"\n20 kills (seed {seed}): {fetched(emulator) - size} of {size} bytes fetched again")


def test_a_part_that_the_disk_damaged_costs_that_part_and_no_wrong_byte(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    data = make_object(emulator, 8 * MIB)
    mount = mounts().start()
    assert (mount.point / "object").read_bytes() == data
    mount.stop()
    [file] = mount.cache.glob("*/data/*/*.0")
    with file.open("r+b") as damaged:
        damaged.seek(3 * MIB + 5)
        damaged.write(b"\0" * 100)
    mount.start()
    assert (mount.point / "object").read_bytes() == data
    assert fetched(emulator) == 8 * MIB + 256 * 1024


def test_an_object_that_fails_its_proof_is_refused_and_its_pages_are_never_shown_again(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    data = make_object(emulator, 4 * MIB)
    mount = mounts().start()
    before = (mount.point / "object").stat().st_ino
    emulator.faults(crc64_off_by=1)
    with pytest.raises(OSError) as caught:
        (mount.point / "object").read_bytes()
    assert caught.value.errno == errno.EIO
    assert "CRC-64" in mount.log.read_text()
    emulator.faults()
    assert (mount.point / "object").read_bytes() == data
    assert (mount.point / "object").stat().st_ino != before
    assert fetched(emulator) == 2 * len(data)
