"""A replaced object: never mixed bytes, never old pages under the new version."""

import errno
import os
import time
from collections.abc import Callable

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount

pytestmark = pytest.mark.fuse

MIB = 1 << 20
OLD, NEW = b"old " * MIB, b"new!" * MIB
LONGER = b"longer" * MIB
FRESH = ["--metadata-ttl", "0"]


@pytest.fixture
def fresh(emulator: EmulatorProcess, mounts: Callable[..., Mount]) -> Mount:
    """A mount that asks again each time."""
    put(emulator, OLD)
    return mounts(options=FRESH).start()


def put(emulator: EmulatorProcess, data: bytes, name: str = "file") -> None:
    path = emulator.directory / (name + ".part")
    path.write_bytes(data)
    path.rename(emulator.directory / name)


@pytest.mark.parametrize("new", [NEW, LONGER, b"short", b""], ids=["same size", "", "short", "0"])
def test_an_object_replaced_after_a_full_read(
    emulator: EmulatorProcess, fresh: Mount, new: bytes
) -> None:
    path = fresh.point / "file"
    assert path.read_bytes() == OLD
    before = path.stat().st_ino
    put(emulator, new)
    assert path.read_bytes() == new
    assert path.stat().st_ino != before
    assert path.stat().st_size == len(new)


def test_an_object_replaced_after_it_was_listed(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    put(emulator, OLD)
    mount = mounts(options=["--metadata-ttl", "3600"]).start()
    assert os.listdir(mount.point) == ["file"]
    put(emulator, NEW)
    # What was listed within the last second is not asked for again.
    time.sleep(1.1)
    # The listing is believed for an hour, but the first byte tells: the open answers ESTALE, the
    # kernel looks the name up again, and the reader notices nothing.
    assert (mount.point / "file").read_bytes() == NEW


def test_an_open_file_goes_on_with_the_old_version_if_it_is_complete(
    emulator: EmulatorProcess, fresh: Mount
) -> None:
    with (fresh.point / "file").open("rb", buffering=0) as old:
        assert old.read(100) == OLD[:100]
        (fresh.point / "file").read_bytes()
        put(emulator, NEW)
        assert (fresh.point / "file").read_bytes() == NEW
        assert os.pread(old.fileno(), len(OLD), 0) == OLD


def test_an_open_file_that_is_half_read_gets_estale_and_never_a_mixture(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    put(emulator, OLD)
    mount = mounts(options=[*FRESH, "--read-ahead", "0"]).start()
    descriptor = os.open(mount.point / "file", os.O_RDONLY | os.O_DIRECT)
    try:
        import mmap

        page = mmap.mmap(-1, 4096)
        assert os.preadv(descriptor, [page], 0) == 4096
        assert page[:] == OLD[:4096]
        put(emulator, NEW)
        with pytest.raises(OSError) as caught:
            os.preadv(descriptor, [page], 2 * MIB)
        assert caught.value.errno == errno.ESTALE
    finally:
        os.close(descriptor)
    assert (mount.point / "file").read_bytes() == NEW


def test_a_deleted_object_is_gone_after_the_ttl(emulator: EmulatorProcess, fresh: Mount) -> None:
    assert (fresh.point / "file").exists()
    (emulator.directory / "file").unlink()
    assert not (fresh.point / "file").exists()
    assert os.listdir(fresh.point) == []


def test_changing_between_parts_is_never_mixed(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    put(emulator, OLD)
    mount = mounts(options=["--request-size", "256KiB", "--read-ahead", "0"]).start()
    os.listdir(mount.point)
    emulator.faults(change_after_requests=3)
    with pytest.raises(OSError) as caught:
        (mount.point / "file").read_bytes()
    assert caught.value.errno == errno.ESTALE
