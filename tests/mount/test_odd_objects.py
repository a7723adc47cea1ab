"""Every kind of object that a bucket can hold, through a mount."""

import errno
import gzip
import mmap
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from ossfs_resume.emulator.object_facts import content
from support.emulator import EmulatorProcess
from support.mount import Mount
from support.objects import bytes_now
from support.waiting import eventually

pytestmark = pytest.mark.fuse

MIB = 1 << 20
FRESH = ["--metadata-ttl", "0"]
LARGEST = 48 << 40


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[EmulatorProcess]:
    """An endpoint that takes unsigned requests too, so that tests can put odd objects."""
    with EmulatorProcess(tmp_path / "bucket", anonymous=True) as emulator:
        yield emulator


def put(emulator: EmulatorProcess, key: str, body: bytes = b"", **headers: str) -> None:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = emulator.request("PUT", emulator.target(key), headers=names, body=body)
    assert answer.status == 200, answer.body


def link(emulator: EmulatorProcess, key: str, target: str) -> None:
    headers = {"x-oss-symlink-target": quote(target, safe="")}
    assert emulator.request("PUT", emulator.target(key) + "?symlink", headers=headers).status == 200


def append(emulator: EmulatorProcess, key: str, position: int, body: bytes) -> None:
    target = f"{emulator.target(key)}?append&position={position}"
    assert emulator.request("POST", target, body=body).status == 200


@contextmanager
def direct(path: Path) -> Iterator[Callable[[int], bytes]]:
    """Reads of one page that the kernel's cache and read-ahead have no part in."""
    page = mmap.mmap(-1, 4096)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        yield lambda offset: page[: os.preadv(descriptor, [page], offset)]
    finally:
        os.close(descriptor)


# --- symlinks ---


@pytest.mark.parametrize("listed_first", [True, False])
def test_a_symlink_inside_the_mount_is_a_link(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], listed_first: bool
) -> None:
    put(emulator, "data/deep/file 中", b"content")
    link(emulator, "data/links/link", "data/deep/file 中")
    link(emulator, "data/links/dangling", "data/nothing")
    mount = mounts(source="oss://sample/data").start()
    links = mount.point / "links"
    if listed_first:
        assert sorted(os.listdir(links)) == ["dangling", "link"]
    assert os.readlink(links / "link") == "../deep/file 中"
    assert (links / "link").read_bytes() == b"content"
    assert (links / "link").lstat().st_size == len("../deep/file 中".encode())
    assert os.readlink(links / "dangling") == "../nothing"
    assert not (links / "dangling").exists()


def test_listing_a_symlink_costs_one_request(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    put(emulator, "file", b"content")
    link(emulator, "link", "file")
    mount = mounts().start()
    emulator.request("POST", "/-/reset")
    subprocess.run(["ls", "-l", mount.point], check=True, stdout=subprocess.DEVNULL)
    statistics = emulator.statistics()["requests"]
    assert (statistics["get"], statistics["head"], statistics["list"]) == (1, 0, 1)


@pytest.mark.parametrize("listed_first", [True, False])
def test_a_symlink_out_of_the_mount_is_its_targets_content(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], listed_first: bool
) -> None:
    data = os.urandom(3 * MIB)
    put(emulator, "elsewhere/file", data)
    link(emulator, "data/link", "elsewhere/file")
    link(emulator, "data/dangling", "elsewhere/nothing")
    mount = mounts(source="oss://sample/data", options=FRESH).start()
    if listed_first:
        assert os.listdir(mount.point) == ["link"]
    assert (mount.point / "link").stat().st_size == len(data)
    assert not (mount.point / "link").is_symlink()
    assert (mount.point / "link").read_bytes() == data
    put(emulator, "elsewhere/file", b"other")
    # What a listing has just shown is believed for a second whatever the TTL.
    os.setxattr(mount.point / "link", "user.ossfs.refresh", b"1")
    assert (mount.point / "link").read_bytes() == b"other"


# --- archives, denial, who pays ---


def test_an_archived_object_says_why_it_cannot_be_read_until_it_is_restored(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    put(emulator, "old", b"content", x_oss_storage_class="ColdArchive")
    mount = mounts().start()
    assert os.listdir(mount.point) == ["old"]
    with pytest.raises(OSError) as caught:
        (mount.point / "old").read_bytes()
    assert caught.value.errno == errno.EIO
    assert "InvalidObjectState" in mount.attribute("old", "error")
    assert "restore it" in mount.attribute("old", "error")
    assert mount.attribute("old", "storage-class") == "ColdArchive"
    lines = [line for line in mount.log.read_text().splitlines() if "InvalidObjectState" in line]
    assert len(lines) == 1
    assert emulator.request("POST", emulator.target("old") + "?restore").status == 202
    # A failed range is remembered for some seconds.
    eventually(lambda: bytes_now(mount.point / "old") == b"content")
    with pytest.raises(OSError):
        mount.attribute("old", "error")


def test_a_kms_key_that_may_not_be_used(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    put(emulator, "file", b"content", x_oss_server_side_encryption_key_id="forbidden")
    mount = mounts().start()
    with pytest.raises(OSError) as caught:
        (mount.point / "file").read_bytes()
    assert caught.value.errno == errno.EACCES
    assert "KMS" in mount.attribute("file", "error")


def test_what_the_origin_encrypts_is_read_as_it_was(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    data = os.urandom(300_000)
    put(emulator, "file", data, x_oss_server_side_encryption="AES256")
    mount = mounts().start()
    assert (mount.point / "file").read_bytes() == data
    assert mount.attribute("file", "state") == "verified"


def test_requester_pays(emulator: EmulatorProcess, mounts: Callable[..., Mount]) -> None:
    put(emulator, "file", b"content")
    emulator.faults(payer="requester")
    assert "--request-payer" in mounts().run().stderr
    mount = mounts(options=["--request-payer"]).start()
    assert (mount.point / "file").read_bytes() == b"content"


# --- versions that go on ---


def test_a_reader_goes_on_in_an_appendable_object_that_grows(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    first = os.urandom(3 * MIB)
    append(emulator, "log", 0, first)
    mount = mounts(options=[*FRESH, "--read-ahead", "0"]).start()
    with direct(mount.point / "log") as read:
        assert read(0) == first[:4096]
        append(emulator, "log", len(first), b"more")
        assert b"".join(read(at) for at in range(0, len(first), 4096)) == first
    assert (mount.point / "log").read_bytes() == first + b"more"


def test_an_appendable_object_that_was_made_anew_is_not_read_on(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    first = os.urandom(3 * MIB)
    append(emulator, "log", 0, first)
    mount = mounts(options=[*FRESH, "--read-ahead", "0"]).start()
    with direct(mount.point / "log") as read:
        read(0)
        put(emulator, "log", first + b"more")
        with pytest.raises(OSError) as caught:
            read(2 * MIB)
    assert caught.value.errno == errno.ESTALE


def test_an_open_file_goes_on_with_its_version_and_a_new_one_sees_the_new(
    tmp_path: Path,
) -> None:
    old, new = os.urandom(3 * MIB), os.urandom(2 * MIB)
    options = ["--versioned"]
    with EmulatorProcess(tmp_path / "bucket", anonymous=True, options=options) as emulator:
        put(emulator, "file", old)
        place = tmp_path / "place"
        options = ["--read-ahead", "0", "--metadata-ttl", "3600"]
        with Mount(emulator, place, options=options) as mount:
            assert os.listdir(mount.point) == ["file"]
            with direct(mount.point / "file") as read:
                assert read(0) == old[:4096]
                put(emulator, "file", new)
                assert b"".join(read(at) for at in range(0, len(old), 4096)) == old
                time.sleep(1.1)  # what was confirmed within the last second is believed
                assert (mount.point / "file").read_bytes() == new
                assert read(0) == old[:4096]


def test_an_open_file_goes_on_with_its_version_after_it_was_deleted(tmp_path: Path) -> None:
    """Where versions are kept, a deletion is only the newest of them. The first request after it
    meets it; all others name the version at once."""
    data = os.urandom(3 * MIB)
    options = ["--versioned"]
    with EmulatorProcess(tmp_path / "bucket", anonymous=True, options=options) as emulator:
        put(emulator, "file", data)
        with Mount(emulator, tmp_path / "place", options=["--read-ahead", "0", *FRESH]) as mount:
            with direct(mount.point / "file") as read:
                assert read(0) == data[:4096]
                assert emulator.request("DELETE", emulator.target("file")).status == 204
                assert b"".join(read(at) for at in range(0, len(data), 4096)) == data
            assert not (mount.point / "file").exists()
            assert mount.statistics()["origin"]["errors"] <= 1
        gone = [each for each in emulator.requests("get") if each["status"] == 404]
    assert len(gone) == 1


# --- content of every shape ---


def test_objects_without_bytes_with_an_encoding_and_with_long_keys(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    packed = gzip.compress(os.urandom(300_000))
    long_key = "/".join(["d" * 255, "e" * 255, "f" * 255, "g" * 255])
    assert len(long_key.encode()) == 1023
    put(emulator, "empty")
    put(emulator, "packed.txt", packed, content_encoding="gzip", content_type="text/plain")
    put(emulator, long_key, b"long")
    put(emulator, "marker/", b"a marker with content")
    put(emulator, "marker/file", b"below")
    mount = mounts().start()
    assert (mount.point / "empty").read_bytes() == b""
    assert (mount.point / "packed.txt").read_bytes() == packed
    assert (mount.point / long_key).read_bytes() == b"long"
    assert os.listdir(mount.point / "marker") == ["file"]
    assert (mount.point / "marker/file").read_bytes() == b"below"


@pytest.mark.parametrize("size", [(1 << 32) + 5, LARGEST])
def test_giant_objects_are_read_anywhere(tmp_path: Path, size: int) -> None:
    options = ["--invent-object", f"giant={size}"]
    with (
        EmulatorProcess(tmp_path / "bucket", options=options) as emulator,
        Mount(emulator, tmp_path / "place") as mount,
    ):
        path = mount.point / "giant"
        assert path.stat().st_size == size
        with path.open("rb", buffering=0) as file:
            for offset in (0, size // 3, (1 << 32) - 3, size - 100):
                assert os.pread(file.fileno(), 100, offset) == content(offset, 100)[: size - offset]
            assert os.pread(file.fileno(), 100, size) == b""
        assert mount.attribute("giant", "state") in ("partial", "fetching")
