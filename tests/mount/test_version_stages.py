"""An object changes in every way at every stage of its reading: old bytes, new bytes or an error,
and never a mixture; the kernel's pages of the one are never those of the other."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount

pytestmark = pytest.mark.fuse

MIB = 1 << 20
OLD = b"old " * MIB
GONE = (errno.ESTALE, errno.ENOENT)

CHANGES: dict[str, bytes | None] = {
    "replaced": b"new!" * MIB,
    "truncated": OLD[: MIB + 77],
    "grown": OLD + b"more" * 1000,
    "emptied": b"",
    "deleted": None,
    "recreated": b"rec!" * MIB,
}
"""What becomes of the object. Recreated: deleted first, and has the size and second of the old."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stages")


@pytest.fixture(scope="module")
def emulator(place: Path) -> Iterator[EmulatorProcess]:
    with EmulatorProcess(place / "bucket") as emulator:
        yield emulator


@pytest.fixture(scope="module")
def fresh(emulator: EmulatorProcess, place: Path) -> Iterator[Mount]:
    """Asks the origin again each time, and fetches only what is asked for."""
    options = ["--metadata-ttl", "0", "--negative-ttl", "0", "--read-ahead", "0"]
    with Mount(emulator, place / "fresh", options=options) as mount:
        yield mount


@pytest.fixture(scope="module")
def believing(emulator: EmulatorProcess, place: Path) -> Iterator[Mount]:
    """Believes its listings for an hour."""
    options = ["--metadata-ttl", "3600", "--read-ahead", "0"]
    with Mount(emulator, place / "believing", options=options) as mount:
        yield mount


def put(emulator: EmulatorProcess, name: str, data: bytes) -> None:
    path = emulator.directory / name
    path.with_suffix(".part").write_bytes(data)
    path.with_suffix(".part").rename(path)


def change(emulator: EmulatorProcess, name: str, how: str) -> bytes | None:
    path, new = emulator.directory / name, CHANGES[how]
    before = path.stat()
    if how in ("deleted", "recreated"):
        path.unlink()
    if new is not None:
        put(emulator, name, new)
    if how == "recreated":
        within_second = before.st_mtime_ns // 10**9 * 10**9 + 1
        os.utime(path, ns=(within_second, within_second))
    return new


def attempt(read: Callable[[], bytes]) -> bytes | None:
    """What was read, or None if the object is not what it was, or not at all."""
    try:
        return read()
    except OSError as error:
        if error.errno in GONE:
            return None
        raise


def assert_current(path: Path, new: bytes | None) -> None:
    """A new open sees the new version, in its pages as well, and again the next time."""
    for _ in range(2):
        if new is None:
            with pytest.raises(FileNotFoundError):
                path.read_bytes()
            assert not path.exists()
        else:
            assert path.read_bytes() == new
            assert path.stat().st_size == len(new)


def assert_old_or_error(descriptor: int) -> None:
    """Every piece that an old handle gives is the old version's."""
    for offset in range(0, len(OLD), MIB):
        got = attempt(lambda offset=offset: os.pread(descriptor, MIB, offset))
        # The kernel gives what it has before the first page that failed.
        assert got is None or (got and OLD[offset:].startswith(got))


@pytest.mark.parametrize("how", CHANGES)
def test_after_it_was_listed(emulator: EmulatorProcess, fresh: Mount, how: str) -> None:
    name = f"listed-{how}"
    put(emulator, name, OLD)
    assert name in os.listdir(fresh.point)
    assert (fresh.point / name).stat().st_size == len(OLD)
    new = change(emulator, name, how)
    assert_current(fresh.point / name, new)


@pytest.mark.parametrize("how", CHANGES)
def test_after_it_was_opened(emulator: EmulatorProcess, fresh: Mount, how: str) -> None:
    name = f"opened-{how}"
    put(emulator, name, OLD)
    with (fresh.point / name).open("rb", buffering=0) as old:
        new = change(emulator, name, how)
        assert_old_or_error(old.fileno())
        assert_current(fresh.point / name, new)
        assert_old_or_error(old.fileno())


@pytest.mark.parametrize("how", CHANGES)
def test_after_it_was_half_read(emulator: EmulatorProcess, fresh: Mount, how: str) -> None:
    name = f"half-{how}"
    put(emulator, name, OLD)
    with (fresh.point / name).open("rb", buffering=0) as old:
        assert old.read(MIB) == OLD[:MIB]
        new = change(emulator, name, how)
        with pytest.raises(OSError) as caught:
            os.pread(old.fileno(), 4096, len(OLD) - 4096)
        assert caught.value.errno == errno.ESTALE
        assert_old_or_error(old.fileno())
        assert_current(fresh.point / name, new)
        assert_old_or_error(old.fileno())


@pytest.mark.parametrize("how", CHANGES)
def test_after_it_was_complete(emulator: EmulatorProcess, fresh: Mount, how: str) -> None:
    name = f"complete-{how}"
    put(emulator, name, OLD)
    with (fresh.point / name).open("rb", buffering=0) as old:
        assert (fresh.point / name).read_bytes() == OLD
        new = change(emulator, name, how)
        assert os.pread(old.fileno(), len(OLD), 0) == OLD
        assert_current(fresh.point / name, new)
        os.posix_fadvise(old.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert os.pread(old.fileno(), len(OLD), 0) == OLD
        assert_current(fresh.point / name, new)


@pytest.mark.parametrize("how", CHANGES)
def test_while_a_listing_is_still_believed(
    emulator: EmulatorProcess, believing: Mount, how: str
) -> None:
    """Then the first byte tells; whoever reads gets one version, or an error."""
    name = f"believed-{how}"
    put(emulator, name, OLD)
    os.stat(believing.point / name)
    new = change(emulator, name, how)
    assert attempt((believing.point / name).read_bytes) in (None, new)
    if new is not None:
        assert (believing.point / name).read_bytes() == new


@pytest.mark.parametrize("how", CHANGES)
def test_a_remount_keeps_the_old_bytes_out(
    emulator: EmulatorProcess, place: Path, how: str
) -> None:
    """Half of the old version is in the cache when the mount is killed."""
    name = f"remounted-{how}"
    put(emulator, name, OLD)
    mount = Mount(emulator, place / name, options=["--read-ahead", "0"])
    try:
        with (mount.start().point / name).open("rb", buffering=0) as old:
            assert old.read(2 * MIB) == OLD[: 2 * MIB]
        mount.kill()
        new = change(emulator, name, how)
        assert_current(mount.start().point / name, new)
    finally:
        mount.__exit__()
