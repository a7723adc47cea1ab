"""Listings of servers that page in odd ways, and of a directory with a great many names."""

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount

pytestmark = pytest.mark.fuse

KEYS = int(os.environ.get("LISTING_KEYS", "50000"))


@pytest.fixture
def names(emulator: EmulatorProcess) -> list[str]:
    """2500 names in one directory: three pages."""
    folder = emulator.directory / "many"
    folder.mkdir()
    found = [f"name {number:04} 中+%41" for number in range(2500)]
    for name in found:
        (folder / name).touch()
    (folder / "sub").mkdir()
    (folder / "sub/file").write_bytes(b"below")
    return [*found, "sub"]


@pytest.mark.parametrize("listing", ["v1", "empty", "bare"])
def test_every_name_is_found_on_an_odd_server(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], names: list[str], listing: str
) -> None:
    emulator.faults(listing=listing)
    mount = mounts().start()
    assert sorted(os.listdir(mount.point / "many")) == names
    assert (mount.point / "many/sub/file").read_bytes() == b"below"
    assert len(emulator.requests("list")) < 20


def test_tokens_that_repeat_are_an_error_and_no_endless_loop(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], names: list[str]
) -> None:
    mount = mounts(options=["--timeout", "3"]).start()
    emulator.faults(listing="repeat")
    with pytest.raises(OSError) as caught:
        os.listdir(mount.point / "many")
    assert caught.value.errno == errno.EIO
    assert len(emulator.requests("list")) < 10
    emulator.faults()
    assert len(os.listdir(mount.point / "many")) == len(names)


@pytest.fixture
def inventive(tmp_path: Path) -> Iterator[EmulatorProcess]:
    with EmulatorProcess(tmp_path / "bucket", options=["--invent-keys", str(KEYS)]) as emulator:
        yield emulator


@pytest.mark.timeout(1200)
def test_a_directory_of_very_many_names(
    inventive: EmulatorProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One request for a thousand names; the first come before the last are asked for."""
    with Mount(inventive, tmp_path, options=["--timeout", "60"]) as mount:
        before = resident_bytes(mount.pid)
        began = time.monotonic()
        with closing(os.scandir(mount.point / "invented")) as entries:
            first = next(entries).name
            first_after = time.monotonic() - began
            count = 1 + sum(1 for _ in entries)
        seconds = time.monotonic() - began
        grown = resident_bytes(mount.pid) - before
    assert (first, count) == ("0000000", KEYS)
    # A few pages are late on a busy machine, and are asked for a second time.
    assert len(inventive.requests("list")) <= 1.1 * KEYS / 1000 + 3
    assert first_after < seconds / 2
    with capsys.disabled():
        print(
            f"\n{KEYS} names in {seconds:.1f} s, the first after {first_after:.2f} s;"
            f" {grown // KEYS} bytes of memory a name"
        )


def resident_bytes(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")
