"""Ordinary tools see every object under its name, byte by byte."""

import hashlib
import mmap
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import objects
from support.emulator import EmulatorProcess
from support.mount import Mount

pytestmark = pytest.mark.fuse

BIG = "sizes/3000001"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A bucket's directory and the mount of it, shared by the tests of this module."""
    place = tmp_path_factory.mktemp("tools")
    objects.fill(place / "bucket")
    with EmulatorProcess(place / "bucket") as emulator, Mount(emulator, place) as mount:
        yield emulator.directory, mount.point


@pytest.fixture
def source(filled: tuple[Path, Path]) -> Path:
    return filled[0]


@pytest.fixture
def point(filled: tuple[Path, Path]) -> Path:
    return filled[1]


def run(*command: str | Path, cwd: Path | None = None) -> bytes:
    """Output of a command that must succeed and complain about nothing."""
    result = subprocess.run(command, cwd=cwd, capture_output=True, check=False, timeout=60)
    assert (result.returncode, result.stderr) == (0, b""), result.stderr
    return result.stdout


def requests(emulator: EmulatorProcess) -> dict[str, int]:
    """How many requests of each kind there were."""
    return {kind: count for kind, count in emulator.statistics()["requests"].items() if count}


def test_every_file_has_its_name_and_its_bytes(source: Path, point: Path) -> None:
    assert objects.digest(point) == objects.digest(source)


def test_cp_can_be_repeated_over_its_own_result(source: Path, point: Path, tmp_path: Path) -> None:
    for _ in range(2):
        run("cp", "-r", f"{point}/.", tmp_path / "copy")
    assert objects.digest(tmp_path / "copy") == objects.digest(source)
    run("rm", "-r", tmp_path / "copy")


def test_rsync(source: Path, point: Path, tmp_path: Path) -> None:
    run("rsync", "-a", f"{point}/", tmp_path / "copy")
    assert objects.digest(tmp_path / "copy") == objects.digest(source)
    assert run("rsync", "-ai", f"{point}/", tmp_path / "copy") == b""


@pytest.mark.parametrize("flags", ["-c", "-cS"])
def test_tar(source: Path, point: Path, tmp_path: Path, flags: str) -> None:
    archive = tmp_path / "a.tar"
    run("tar", flags, "-f", archive, "-C", point, ".")
    (tmp_path / "copy").mkdir()
    run("tar", "-x", "-f", archive, "-C", tmp_path / "copy")
    assert objects.digest(tmp_path / "copy") == objects.digest(source)


def test_ls_and_find_list_the_same_names(source: Path, point: Path) -> None:
    assert sorted(run("find", ".", "-print0", cwd=point).split(b"\0")) == sorted(
        run("find", ".", "-print0", cwd=source).split(b"\0")
    )
    assert run("ls", "-R", "--quoting-style=c", cwd=point) == run(
        "ls", "-R", "--quoting-style=c", cwd=source
    )
    listed = run("ls", "-lR", "--quoting-style=c", cwd=point).splitlines()
    assert len([line for line in listed if line.startswith(b"-rw-r--r--")]) == len(
        [path for path in source.rglob("*") if path.is_file()]
    )


def test_md5sum(source: Path, point: Path) -> None:
    names = [path.name for path in (source / "sizes").iterdir()]
    assert run("md5sum", *names, cwd=point / "sizes") == run("md5sum", *names, cwd=source / "sizes")


def test_du_never_says_zero_for_a_file_that_has_bytes(point: Path) -> None:
    for path in point.rglob("*"):
        status = path.lstat()
        if path.is_file() and status.st_size:
            assert status.st_blocks > 0
    assert run("du", "-s", "--apparent-size", "--block-size=1", point / "sizes")


def test_grep(source: Path, point: Path) -> None:
    found = run("grep", "-rlZ", "needle", ".", cwd=point)
    assert found == b"./sizes/text\0"


def test_mmap(source: Path, point: Path) -> None:
    with (
        (point / BIG).open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        assert hashlib.sha256(data).digest() == hashlib.sha256((source / BIG).read_bytes()).digest()
        assert data[1_234_567:1_234_577] == (source / BIG).read_bytes()[1_234_567:1_234_577]


def test_sendfile(source: Path, point: Path, tmp_path: Path) -> None:
    with (point / BIG).open("rb") as file, (tmp_path / "out").open("wb") as out:
        while os.sendfile(out.fileno(), file.fileno(), None, 1 << 20):
            pass
    assert (tmp_path / "out").read_bytes() == (source / BIG).read_bytes()


@pytest.mark.parametrize(
    ("block", "skip", "count"), [(1, 65535, 3), (777, 100, 50), (65537, 3, 7), (999_999, 2, 9)]
)
def test_dd_at_odd_offsets(
    source: Path, point: Path, tmp_path: Path, block: int, skip: int, count: int
) -> None:
    command = ["dd", f"if={point / BIG}", f"of={tmp_path / 'out'}", "status=none"]
    run(*command, f"bs={block}", f"skip={skip}", f"count={count}")
    expected = (source / BIG).read_bytes()[block * skip : block * (skip + count)]
    assert (tmp_path / "out").read_bytes() == expected


@pytest.mark.parametrize("size", [512, 4096, 1 << 20, 8 << 20])
def test_direct_reads(source: Path, point: Path, size: int) -> None:
    data = (source / BIG).read_bytes()
    descriptor = os.open(point / BIG, os.O_RDONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, size)
    try:
        for offset in (0, 4096, 1 << 20, (len(data) // 4096) * 4096, len(data) // 512 * 512 + 512):
            count = os.preadv(descriptor, [buffer], offset)
            assert buffer[:count] == data[offset : offset + size]
            assert count == len(data[offset : offset + size])
    finally:
        os.close(descriptor)


def test_a_listing_costs_one_request_a_thousand_names_and_nothing_else(
    tmp_path: Path, emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    # Too few pages for the mount to know which of them is late and ask for it a second time.
    for number in range(5_000):
        path = emulator.directory / "many" / f"{number:05}"
        if number == 0:
            path.parent.mkdir()
        path.write_bytes(b"x" * (number % 3))
    mount = mounts().start()
    os.listdir(mount.point)
    emulator.reset()
    lines = run("ls", "-l", mount.point / "many").splitlines()
    assert len(lines) == 5_001
    assert requests(emulator) == {"list": 5}
    run("ls", "-l", mount.point / "many")
    assert (mount.point / "many/00007").stat().st_size == 1
    assert not (mount.point / "many/absent").exists()
    assert requests(emulator) == {"list": 5}
