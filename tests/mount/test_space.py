"""Small caches: what goes, what stays, and that no reader ever notices."""

import errno
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount
from support.waiting import eventually

pytestmark = pytest.mark.fuse

MIB = 1 << 20
Mounts = Callable[..., Mount]


def put(emulator: EmulatorProcess, name: str, size: int) -> bytes:
    data = os.urandom(size)
    path = emulator.directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return data


def allocated(cache: Path) -> int:
    """What the data files take on the disk."""
    total = 0
    for path in cache.glob("*/data/*/*"):
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def act(mount: Mount, verb: str, path: str = "") -> None:
    os.setxattr(mount.point / path, f"user.ossfs.{verb}", b"1")


def read(mount: Mount, name: str) -> bytes:
    return (mount.point / name).read_bytes()


def fetched(emulator: EmulatorProcess, name: str) -> int:
    return int(emulator.statistics()["bytes_by_key"].get(name, 0))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 64 MiB where the mounts of a test keep their cache."""
    place = tmp_path / "cache"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_the_least_recently_used_goes_first_and_the_size_is_kept(
    emulator: EmulatorProcess, mounts: Mounts
) -> None:
    data = {f"f{i}": put(emulator, f"f{i}", 4 * MIB) for i in range(8)}
    mount = mounts(options=["--cache-size", "18M"]).start()
    for name in ("f0", "f1", "f2", "f3", "f0"):
        assert read(mount, name) == data[name]
    for name in ("f4", "f5"):
        assert read(mount, name) == data[name]
    eventually(lambda: allocated(mount.cache) <= 18 * MIB)
    eventually(lambda: mount.attribute("f1", "state") == "remote")
    assert mount.attribute("f0", "state") == "verified"
    assert mount.attribute("f5", "state") == "verified"
    for name, content in data.items():
        assert read(mount, name) == content


def test_an_evicted_file_is_the_same_file_for_a_backup_and_is_fetched_again(
    emulator: EmulatorProcess, mounts: Mounts
) -> None:
    """Backup programs read a file anew whose inode, size or times differ from last time."""
    data = put(emulator, "file", 3 * MIB)
    mount = mounts().start()
    assert read(mount, "file") == data
    before = identity(mount, "file")
    act(mount, "evict", "file")
    assert mount.attribute("file", "state") == "remote"
    assert allocated(mount.cache) == 0
    eventually(lambda: (mount.point / "file").stat().st_blocks == 1)
    assert identity(mount, "file") == before
    assert read(mount, "file") == data
    assert identity(mount, "file") == before
    assert fetched(emulator, "file") == 6 * MIB
    assert read(mount, "file") == data
    assert fetched(emulator, "file") == 6 * MIB


def identity(mount: Mount, name: str) -> tuple[int, ...]:
    status = (mount.point / name).stat()
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def test_what_was_only_fetched_ahead_goes_before_what_was_read(
    emulator: EmulatorProcess, mounts: Mounts
) -> None:
    for name in ("read", "ahead", "more"):
        put(emulator, name, 4 * MIB)
    mount = mounts(options=["--cache-size", "10M"]).start()
    read(mount, "read")
    act(mount, "materialize", "ahead")
    eventually(lambda: mount.attribute("ahead", "state") == "verified")
    read(mount, "more")
    eventually(lambda: mount.attribute("ahead", "state") == "remote")
    assert mount.attribute("read", "state") == "verified"


def test_a_superseded_version_goes_first(emulator: EmulatorProcess, mounts: Mounts) -> None:
    put(emulator, "old", 4 * MIB)
    put(emulator, "replaced", 4 * MIB)
    mount = mounts(options=["--cache-size", "14M", "--metadata-ttl", "0"]).start()
    read(mount, "old")
    read(mount, "replaced")
    put(emulator, "replaced", 4 * MIB)
    read(mount, "replaced")
    put(emulator, "more", 4 * MIB)
    read(mount, "more")
    eventually(lambda: allocated(mount.cache) <= 14 * MIB)
    states = {name: mount.attribute(name, "state") for name in ("old", "replaced", "more")}
    assert set(states.values()) == {"verified"}


@pytest.mark.parametrize("chunk", [128 * 1024, 5 * MIB])
def test_an_object_larger_than_the_cache_streams_through(
    emulator: EmulatorProcess, mounts: Mounts, chunk: int
) -> None:
    data = put(emulator, "large", 96 * MIB)
    put(emulator, "small", MIB)
    mount = mounts(options=["--cache-size", "16M"]).start()
    read(mount, "small")
    most, position = 0, 0
    with (mount.point / "large").open("rb", buffering=0) as file:
        while piece := file.read(chunk):
            assert piece == data[position : position + len(piece)]
            position += len(piece)
            most = max(most, allocated(mount.cache))
    assert position == len(data)
    assert fetched(emulator, "large") < 1.1 * len(data)
    assert most <= 16 * MIB
    assert mount.attribute("small", "state") == "verified"


def test_readers_of_more_than_the_cache_never_pass_its_size(
    emulator: EmulatorProcess, mounts: Mounts
) -> None:
    data = {f"f{i}": put(emulator, f"f{i}", 24 * MIB) for i in range(6)}
    mount = mounts(options=["--cache-size", "32M"]).start()
    with ThreadPoolExecutor(len(data)) as threads:
        readers = [threads.submit(read, mount, name) for name in data]
        most = 0
        while not all(reader.done() for reader in readers):
            most = max(most, allocated(mount.cache))
    assert [reader.result() for reader in readers] == list(data.values())
    # The files are measured one after the other: what one gives up and another takes counts twice.
    assert 16 * MIB < most <= 36 * MIB


def test_a_disk_smaller_than_the_object_is_no_error(
    emulator: EmulatorProcess, small_disk: Path, mounts: Mounts
) -> None:
    data = put(emulator, "large", 160 * MIB)
    mount = mounts(options=["--cache-free", "10%"]).start()
    assert mount.cache == small_disk
    assert read(mount, "large") == data
    assert mount.log.read_text().count("No space") == 0


def test_many_readers_of_many_files_on_a_small_disk(
    emulator: EmulatorProcess, small_disk: Path, mounts: Mounts
) -> None:
    data = {f"d/{i}": put(emulator, f"d/{i}", (i % 7) * MIB + 12345) for i in range(40)}
    mount = mounts().start()
    wrong: list[str] = []

    def reader(names: list[str]) -> None:
        for name in names:
            try:
                if read(mount, name) != data[name]:
                    wrong.append(name)
            except OSError as error:
                wrong.append(f"{name}: {error}")

    names = list(data)
    threads = [
        threading.Thread(target=reader, args=(names[i:] + names[:i],)) for i in (0, 10, 20, 30)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_pins_stay_and_are_refused_when_they_do_not_fit(
    emulator: EmulatorProcess, mounts: Mounts
) -> None:
    for i in range(5):
        put(emulator, f"f{i}", 4 * MIB)
    mount = mounts(options=["--cache-size", "10M"]).start()
    act(mount, "pin", "f0")
    eventually(lambda: mount.attribute("f0", "state") == "verified")
    assert json.loads(mount.attribute("f0", "status"))["pinned"] is True
    assert json.loads(mount.attribute("f1", "status"))["pinned"] is False
    act(mount, "pin", "f1")
    with pytest.raises(OSError) as refused:
        act(mount, "pin", "f2")
    assert refused.value.errno == errno.ENOSPC
    with pytest.raises(OSError) as refused:
        act(mount, "pin")
    assert refused.value.errno == errno.ENOSPC
    with pytest.raises(OSError) as refused:
        act(mount, "evict", "f0")
    assert refused.value.errno == errno.EBUSY
    for i in range(2, 5):
        read(mount, f"f{i}")
    mount.stop()
    mount.start()
    read(mount, "f4")
    eventually(lambda: mount.attribute("f1", "state") == "verified")
    assert mount.attribute("f0", "state") == "verified"
    act(mount, "unpin")
    act(mount, "pin", "f2")
    eventually(lambda: mount.attribute("f2", "state") == "verified")


def test_materialize_of_what_cannot_be_kept_fails_and_says_why(
    emulator: EmulatorProcess, mounts: Mounts
) -> None:
    put(emulator, "large", 12 * MIB)
    mount = mounts(options=["--cache-size", "8M"]).start()
    act(mount, "materialize", "large")
    eventually(lambda: mount.attribute("large", "state") == "failed")
    assert "do not fit into the cache" in mount.attribute("large", "error")


def test_an_open_file_is_not_evicted_and_a_closed_one_is(
    emulator: EmulatorProcess, mounts: Mounts
) -> None:
    data = {name: put(emulator, name, 2 * MIB) for name in ("d/open", "d/closed")}
    mount = mounts().start()
    for name in data:
        read(mount, name)
    with (mount.point / "d/open").open("rb") as file:
        with pytest.raises(OSError) as refused:
            act(mount, "evict", "d/open")
        assert refused.value.errno == errno.EBUSY
        act(mount, "evict", "d")
        assert mount.attribute("d/closed", "state") == "remote"
        assert mount.attribute("d/open", "state") == "verified"
        assert file.read() == data["d/open"]
    act(mount, "evict", "d/open")
    assert allocated(mount.cache) == 0


def error_of(mount: Mount, path: str) -> str:
    """The last error of a file, empty if there is none."""
    try:
        return mount.attribute(path, "error")
    except OSError:
        return ""


def test_verify_finds_a_damaged_part_and_the_next_reader_gets_the_right_bytes(
    emulator: EmulatorProcess, mounts: Mounts
) -> None:
    data = put(emulator, "file", 3 * MIB)
    mount = mounts().start()
    assert read(mount, "file") == data
    act(mount, "verify", "file")
    eventually(lambda: mount.attribute("file", "state") == "verified")
    with pytest.raises(OSError) as none:
        mount.attribute("file", "error")
    assert none.value.errno == errno.ENODATA
    [path] = mount.cache.glob("*/data/*/*")
    with path.open("r+b") as file:
        file.seek(MIB + 5)
        file.write(b"damage")
        os.fsync(file.fileno())
    act(mount, "verify", "file")
    eventually(lambda: mount.attribute("file", "state") == "partial")
    eventually(lambda: "1 cached part damaged; it will be fetched again" in error_of(mount, "file"))
    assert read(mount, "file") == data
    assert fetched(emulator, "file") == 3 * MIB + 256 * 1024


def test_refresh_shows_what_is_new(emulator: EmulatorProcess, mounts: Mounts) -> None:
    put(emulator, "d/a", 10)
    mount = mounts(options=["--metadata-ttl", "3600"]).start()
    assert os.listdir(mount.point / "d") == ["a"]
    before = (mount.point / "d/a").stat().st_size
    new = put(emulator, "d/a", 20)
    put(emulator, "d/b", 5)
    assert os.listdir(mount.point / "d") == ["a"]
    assert not (mount.point / "d/b").exists()
    act(mount, "refresh", "d")
    eventually(lambda: sorted(os.listdir(mount.point / "d")) == ["a", "b"])
    eventually(lambda: (mount.point / "d/a").stat().st_size == 20)
    assert before == 10
    assert read(mount, "d/a") == new
    put(emulator, "d/a", 30)
    act(mount, "refresh", "d/a")
    eventually(lambda: (mount.point / "d/a").stat().st_size == 30)


def test_names_that_were_refreshed_still_serve_without_the_origin(
    emulator: EmulatorProcess, mounts: Mounts
) -> None:
    data = put(emulator, "d/a", 1000)
    mount = mounts().start()
    assert os.listdir(mount.point / "d") == ["a"]
    assert read(mount, "d/a") == data
    emulator.kill()
    act(mount, "refresh")
    assert os.listdir(mount.point / "d") == ["a"]
    assert read(mount, "d/a") == data


def test_what_another_mount_has_open_is_not_evicted(
    emulator: EmulatorProcess, mounts: Mounts, tmp_path: Path
) -> None:
    data = put(emulator, "file", 3 * MIB)
    first, second = mounts(), mounts()
    second.point = tmp_path / "second"
    second.point.mkdir()
    first.start()
    second.start()
    try:
        assert read(first, "file") == data
        with (second.point / "file").open("rb", buffering=0) as file:
            assert file.read(10) == data[:10]
            with pytest.raises(OSError) as refused:
                act(first, "evict", "file")
            assert refused.value.errno == errno.EBUSY
            assert os.pread(file.fileno(), len(data), 0) == data
        eventually(lambda: _try(lambda: act(first, "evict", "file")))
        assert read(second, "file") == data
    finally:
        second.stop()


def _try(action: Callable[[], None]) -> bool:
    try:
        action()
    except OSError:
        return False
    return True


def test_mount_says_when_nothing_can_be_kept(emulator: EmulatorProcess, mounts: Mounts) -> None:
    data = put(emulator, "file", 2 * MIB)
    mount = mounts(options=["--cache-size", "4K"]).start()
    [line] = [line for line in mount.log.read_text().splitlines() if "nothing can be kept" in line]
    assert "WARNING" in line
    assert read(mount, "file") == data
