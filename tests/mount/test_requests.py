"""Every request is billed: what a job costs, counted by the origin."""

import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount

pytestmark = pytest.mark.fuse

MIB = 1 << 20
SIZE = 100 * MIB + 12_345


def ranges(emulator: EmulatorProcess) -> list[tuple[int, int]]:
    """First byte and last of each ranged GET, in the order of the object.

    An answer that is late, as on a busy machine, is asked for again: that is the same range.
    """
    firsts: dict[int, int] = {}
    for record in emulator.requests("get"):
        first, last = map(int, record["range"].removeprefix("bytes=").split("-"))
        firsts[last] = min(first, firsts.get(last, first))
    return sorted((first, last) for last, first in firsts.items())


@pytest.fixture
def listed(emulator: EmulatorProcess, mounts: Callable[..., Mount]) -> Mount:
    """A mount that has shown its one large object to ``ls``."""
    (emulator.directory / "large").write_bytes(random.Random(1).randbytes(SIZE))
    mount = mounts().start()
    assert os.listdir(mount.point) == ["large"]
    emulator.reset()
    return mount


def test_cp_of_a_listed_object_costs_its_ranges_and_one_head_at_most(
    emulator: EmulatorProcess, listed: Mount, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["cp", listed.point / "large", tmp_path / "copy"], check=True)
    requests, asked = emulator.statistics()["requests"], ranges(emulator)
    subprocess.run(["cmp", emulator.directory / "large", tmp_path / "copy"], check=True)
    twice = listed.statistics()["origin"]["hedged"]
    assert sum(requests.values()) <= len(asked) + twice + requests["head"]
    assert requests["head"] <= 1
    # The ranges touch and do not overlap; they grow from one part to 4 MiB as the reader goes on.
    assert [first for first, _ in asked] == [0, *(last + 1 for _, last in asked[:-1])]
    assert asked[-1][1] == SIZE - 1
    assert len(asked) <= 48
    with capsys.disabled():
        print(f"\ncp of 100 MiB: {requests}")


def test_a_second_cp_costs_nothing(
    emulator: EmulatorProcess, listed: Mount, tmp_path: Path
) -> None:
    for copy in ("first", "second"):
        emulator.reset()
        subprocess.run(["cp", listed.point / "large", tmp_path / copy], check=True)
    assert sum(emulator.statistics()["requests"].values()) == 0


def test_materialize_of_a_listed_object_costs_the_fewest_ranges(
    emulator: EmulatorProcess, listed: Mount, tmp_path: Path
) -> None:
    os.setxattr(listed.point / "large", "user.ossfs.materialize", b"1")
    subprocess.run(["cp", listed.point / "large", tmp_path / "copy"], check=True)
    requests, asked = emulator.statistics()["requests"], ranges(emulator)
    assert requests["head"] <= 1
    assert requests["list"] == 0
    assert [first for first, _ in asked] == [0, *(last + 1 for _, last in asked[:-1])]


def test_ls_of_what_is_never_believed_costs_its_pages(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    """The directory is found by two requests; nothing is asked for each name."""
    (emulator.directory / "d").mkdir()
    for number in range(1500):
        (emulator.directory / f"d/{number:04}").write_bytes(b"data")
    mount = mounts(options=["--metadata-ttl", "0"]).start()
    emulator.reset()
    directory = os.open(mount.point / "d", os.O_RDONLY)
    try:
        with os.scandir(directory) as entries:
            sizes = [os.stat(entry.name, dir_fd=directory).st_size for entry in entries]
    finally:
        os.close(directory)
    assert sizes == [4] * 1500
    assert sum(emulator.statistics()["requests"].values()) <= 2 + 2
    emulator.reset()
    subprocess.run(["ls", "-l", mount.point / "d"], check=True, stdout=subprocess.DEVNULL)
    assert sum(emulator.statistics()["requests"].values()) <= 3 * 2 + 2


def test_paths_known_from_an_earlier_mount_cost_a_listing_not_a_request_each(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    """Nobody reads the directory here: a list of paths is gone through, as ``tar -T`` does."""
    for number in range(300):
        (emulator.directory / f"{number:03}").write_bytes(b"data")
    mount = mounts().start()
    names = sorted(os.listdir(mount.point))
    mount.stop()
    mount.start()
    emulator.reset()
    assert sum(os.stat(mount.point / name).st_size for name in names) == 4 * 300
    requests = emulator.statistics()["requests"]
    assert requests["head"] <= 30
    assert requests["list"] <= 32
