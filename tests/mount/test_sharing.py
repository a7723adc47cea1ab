"""Two mounts, one cache directory: one download, and either may die at any time."""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount
from support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.fuse

MIB = 1 << 20
DATA = random.Random(3).randbytes(48 * MIB)
MakeMount = Callable[..., Mount]


@pytest.fixture
def neighbours(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[MakeMount]:
    """Mounts at places of their own that share one cache directory."""
    (emulator.directory / "object").write_bytes(DATA)
    with ExitStack() as stack:

        def make(name: str, **options: object) -> Mount:
            mount = Mount(options.pop("emulator", emulator), tmp_path / name, **options)
            mount.cache = tmp_path / "cache"
            stack.callback(mount.__exit__)
            return mount.start()

        yield make


class Reader(threading.Thread):
    """Reads a file from end to end, again and again until it could, and keeps what it read."""

    def __init__(self, mount: Mount, name: str = "object") -> None:
        super().__init__()
        self._path = mount.point / name
        self.data = b""
        self.start()

    def run(self) -> None:
        deadline = time.monotonic() + 60
        while not self.data and time.monotonic() < deadline:
            try:
                self.data = self._path.read_bytes()
            except OSError:
                time.sleep(0.05)

    def result(self) -> bytes:
        self.join(70)
        assert not self.is_alive()
        return self.data


def test_two_readers_at_once_cause_one_download(
    emulator: EmulatorProcess, neighbours: MakeMount
) -> None:
    first, second = neighbours("first"), neighbours("second")
    emulator.faults(total_bytes_per_s=16 * MIB)
    readers = [Reader(first), Reader(second)]
    for reader in readers:
        assert reader.result() == DATA
    # On a busy machine one may lose patience with the other, but not all the time.
    assert emulator.statistics()["bytes"] <= len(DATA) * 1.5


def test_what_one_mount_fetched_the_other_sees_though_it_has_the_file_open(
    emulator: EmulatorProcess, neighbours: MakeMount
) -> None:
    first, second = neighbours("first"), neighbours("second")
    with (second.point / "object").open("rb", buffering=0) as file:
        assert os.pread(file.fileno(), 100, 0) == DATA[:100]
        assert (first.point / "object").read_bytes() == DATA
        eventually(lambda: not first.statistics()["cache"]["uncommitted_bytes"])
        before = emulator.statistics()["bytes"]
        assert file.read() == DATA
        assert emulator.statistics()["bytes"] == before


def test_a_reader_goes_on_when_the_other_mount_is_killed_in_its_download(
    emulator: EmulatorProcess, neighbours: MakeMount
) -> None:
    first, second = neighbours("first"), neighbours("second")
    emulator.faults(total_bytes_per_s=16 * MIB)
    readers = [Reader(first), Reader(second)]
    eventually(lambda: emulator.statistics()["bytes"] >= len(DATA) // 3)
    first.kill()
    assert readers[1].result() == DATA
    first.start()
    assert readers[0].result() == DATA
    assert emulator.statistics()["bytes"] <= len(DATA) + 24 * MIB


def test_a_stalled_neighbour_is_waited_for_a_moment_only(
    emulator: EmulatorProcess, neighbours: MakeMount
) -> None:
    first = neighbours("first")
    emulator.faults(hang="data")
    stuck = Reader(first)
    eventually(lambda: emulator.requests("get"))
    second = neighbours("second")
    emulator.faults()
    began = time.monotonic()
    with (second.point / "object").open("rb", buffering=0) as file:
        assert file.read(1000) == DATA[:1000]
    assert time.monotonic() - began < PATIENCE_S  # and not for --timeout
    first.kill()
    first.start()
    assert stuck.result() == DATA


def test_random_kills_of_either_never_cost_a_byte(
    emulator: EmulatorProcess, neighbours: MakeMount
) -> None:
    chance = random.Random(11)
    mounts = [neighbours("first"), neighbours("second")]
    emulator.faults(total_bytes_per_s=12 * MIB)
    readers = [Reader(mount) for mount in mounts]
    kills = 0
    while any(reader.is_alive() for reader in readers) and kills < 8:
        time.sleep(chance.uniform(0.1, 0.8))
        victim = chance.choice(mounts)
        victim.kill()
        victim.start()
        kills += 1
    emulator.faults()
    for reader in readers:
        assert reader.result() == DATA
    for mount in mounts:
        assert (mount.point / "object").read_bytes() == DATA
    again = emulator.statistics()["bytes"] - len(DATA)
    print(f"{kills} kills, {again / MIB:.1f} MiB fetched again")
    assert again <= kills * 24 * MIB


def test_buckets_and_endpoints_never_see_each_others_data(
    emulator: EmulatorProcess, neighbours: MakeMount, tmp_path: Path
) -> None:
    (emulator.directory / "same").write_bytes(b"a" * 1000)
    stamp = (1_600_000_000, 1_600_000_000)
    os.utime(emulator.directory / "same", stamp)
    with (
        EmulatorProcess(tmp_path / "elsewhere") as elsewhere,
        EmulatorProcess(tmp_path / "another", bucket="another") as another,
    ):
        for other, content in ((elsewhere, b"b"), (another, b"c")):
            (other.directory / "same").write_bytes(content * 1000)
            os.utime(other.directory / "same", stamp)
        mounts = [
            neighbours("first"),
            neighbours("second", emulator=elsewhere),
            neighbours("third", emulator=another),
        ]
        for _ in range(2):
            for mount, content in zip(mounts, (b"a", b"b", b"c"), strict=True):
                assert (mount.point / "same").read_bytes() == content * 1000
        folders = [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
        assert len(folders) == 3
