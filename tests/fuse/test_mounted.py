"""A real mount of the tree in memory, as programs see it."""

import errno
import mmap
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support.processes import cpu_seconds
from support.waiting import PATIENCE_S

pytestmark = pytest.mark.fuse

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def mnt(tmp_path_factory: pytest.TempPathFactory, mounts_in: Any) -> Iterator[Path]:
    with ExitStack() as stack:
        mounts = mounts_in(tmp_path_factory.mktemp("mounted"), stack)
        yield mounts.ready().path


def run(*command: str | Path) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_ls_shows_modes_sizes_and_no_attribute_marks(mnt: Path) -> None:
    lines = run("ls", "-l", mnt).splitlines()
    small = next(line.split() for line in lines if line.endswith("small.txt"))
    assert small[0] == "-rw-r--r--"
    assert small[4] == "6"
    assert next(line for line in lines if line.endswith(" dir")).startswith("drwxr-xr-x ")
    assert next(line for line in lines if line.endswith(" hidden")).startswith("d--x--x--x ")


def test_a_listing_of_many_names_is_complete_and_without_repetition(mnt: Path) -> None:
    assert sorted(os.listdir(mnt / "many")) == [f"{number:08d}" for number in range(1000)]


def test_stat_gives_what_du_and_tar_rely_on(mnt: Path, memory: ModuleType) -> None:
    status = (mnt / "large.bin").stat()
    assert status.st_size == 3 * MIB + 123
    assert status.st_blocks == 1
    assert status.st_blksize == 128 * 1024
    assert status.st_mtime_ns == status.st_ctime_ns == memory.MODIFIED_NS
    assert status.st_nlink == 1
    assert (mnt / "empty.bin").stat().st_blocks == 0
    assert os.statvfs(mnt).f_blocks == os.statvfs("/").f_blocks


def test_buffered_and_unaligned_reads(mnt: Path, memory: ModuleType) -> None:
    size = 3 * MIB + 123
    assert (mnt / "large.bin").read_bytes() == memory.pattern(0, size)
    with (mnt / "large.bin").open("rb", buffering=0) as file:
        assert os.pread(file.fileno(), 1000, size - 7) == memory.pattern(size - 7, 7)
        assert os.pread(file.fileno(), 1000, size) == b""
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
            assert view[MIB + 1 : MIB + 9] == memory.pattern(MIB + 1, 8)
    assert (mnt / "dir" / "inner.txt").read_text() == "inner"


def test_direct_reads(mnt: Path, memory: ModuleType) -> None:
    descriptor = os.open(mnt / "large.bin", os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, 4 * MIB) as buffer:
            assert os.preadv(descriptor, [buffer], 0) == 3 * MIB + 123
            assert buffer[: 3 * MIB + 123] == memory.pattern(0, 3 * MIB + 123)
    finally:
        os.close(descriptor)


def test_dd_copies_a_block_from_the_middle(mnt: Path, tmp_path: Path, memory: ModuleType) -> None:
    target = tmp_path / "block"
    run("dd", f"if={mnt}/large.bin", f"of={target}", "bs=4096", "skip=3", "count=2")
    assert target.read_bytes() == memory.pattern(3 * 4096, 2 * 4096)


def test_names_that_do_not_exist(mnt: Path) -> None:
    for name in ("absent", "other", "dir/absent"):
        assert not (mnt / name).exists()
    with pytest.raises(NotADirectoryError):
        (mnt / "small.txt" / "x").stat()


MODIFICATIONS: dict[str, Callable[[Path], object]] = {
    "create": lambda mnt: os.open(mnt / "new", os.O_CREAT | os.O_WRONLY),
    "create for reading": lambda mnt: os.open(mnt / "new", os.O_CREAT | os.O_RDONLY),
    "open for writing": lambda mnt: os.open(mnt / "small.txt", os.O_WRONLY),
    "open for both": lambda mnt: os.open(mnt / "small.txt", os.O_RDWR),
    "open truncating": lambda mnt: os.open(mnt / "small.txt", os.O_RDONLY | os.O_TRUNC),
    "open appending": lambda mnt: os.open(mnt / "small.txt", os.O_WRONLY | os.O_APPEND),
    "truncate": lambda mnt: os.truncate(mnt / "small.txt", 0),
    "chmod": lambda mnt: os.chmod(mnt / "small.txt", 0o600),
    "chmod of a directory": lambda mnt: os.chmod(mnt / "dir", 0o700),
    "chown": lambda mnt: os.chown(mnt / "small.txt", 1, 1),
    "utime": lambda mnt: os.utime(mnt / "small.txt"),
    "utime with times": lambda mnt: os.utime(mnt / "small.txt", (1, 1)),
    "mkdir": lambda mnt: os.mkdir(mnt / "new"),
    "mknod": lambda mnt: os.mknod(mnt / "new"),
    "mkfifo": lambda mnt: os.mkfifo(mnt / "new"),
    "unlink": lambda mnt: os.unlink(mnt / "small.txt"),
    "rmdir": lambda mnt: os.rmdir(mnt / "dir"),
    "symlink": lambda mnt: os.symlink("small.txt", mnt / "new"),
    "link": lambda mnt: os.link(mnt / "small.txt", mnt / "new"),
    "rename": lambda mnt: os.rename(mnt / "small.txt", mnt / "new"),
    "rename over": lambda mnt: os.rename(mnt / "small.txt", mnt / "large.bin"),
    "set a foreign attribute": lambda mnt: os.setxattr(mnt / "small.txt", "user.x", b"1"),
    "remove an attribute": lambda mnt: os.removexattr(mnt / "small.txt", "user.ossfs.pin"),
}


@pytest.mark.parametrize("name", MODIFICATIONS)
def test_every_modification_is_erofs_for_root_too(mnt: Path, name: str) -> None:
    with pytest.raises(OSError) as raised:
        MODIFICATIONS[name](mnt)
    assert raised.value.errno == errno.EROFS


def test_extended_attributes(mnt: Path) -> None:
    path = mnt / "large.bin"
    assert os.listxattr(path) == []
    os.setxattr(path, "user.ossfs.materialize", b"1")
    assert os.getxattr(path, "user.ossfs.state") == b"queued"
    os.setxattr(path, "user.ossfs.materialize", b"1", os.XATTR_CREATE)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("security.selinux", errno.ENOTSUP),
        ("trusted.x", errno.ENOTSUP),
        ("system.posix_acl_access", errno.ENOTSUP),
        ("user.x", errno.ENODATA),
        ("user.ossfs.unknown", errno.ENODATA),
    ],
)
def test_attributes_that_do_not_exist(mnt: Path, name: str, number: int) -> None:
    with pytest.raises(OSError) as raised:
        os.getxattr(mnt / "small.txt", name)
    assert raised.value.errno == number


@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        ("security.x", b"1", errno.ENOTSUP),
        ("trusted.x", b"1", errno.ENOTSUP),
        ("user.ossfs.unknown", b"1", errno.ENODATA),
        ("user.ossfs.materialize", b"yes", errno.EINVAL),
    ],
)
def test_attributes_that_cannot_be_set(mnt: Path, name: str, value: bytes, number: int) -> None:
    with pytest.raises(OSError) as raised:
        os.setxattr(mnt / "small.txt", name, value)
    assert raised.value.errno == number


@pytest.mark.parametrize("name", ["short.bin", "long.bin", "broken.bin"])
def test_a_wrong_length_or_a_defect_is_eio_and_the_mount_lives(mnt: Path, name: str) -> None:
    with pytest.raises(OSError) as raised:
        (mnt / name).read_bytes()
    assert raised.value.errno == errno.EIO
    assert (mnt / "small.txt").read_text() == "hello\n"


def test_pages_are_dropped_on_request(mnt: Path) -> None:
    """The invalidation runs while the file is open, and the file stays readable."""
    with (mnt / "large.bin").open("rb") as file:
        first = file.read(MIB)
        os.setxattr(mnt / "large.bin", "user.ossfs.invalidate", b"1")
        file.seek(0)
        assert file.read(MIB) == first


def test_a_second_mount_on_top_is_refused(mnt: Path, mounts_in: Any) -> None:
    with ExitStack() as stack:
        second = mounts_in(mnt.parent, stack).start()
        assert second.process.wait(PATIENCE_S) == 1
        assert "already a mount point" in second.log.read_text()
        # Its clean-up must leave the first mount alone.
        second.path = mnt.parent / "elsewhere"
    assert (mnt / "small.txt").read_text() == "hello\n"


def test_listing_100_000_names_takes_seconds_at_most(mounts: Any) -> None:
    mounted = mounts.ready("--names", "100000")
    before = cpu_seconds(mounted.process.pid)
    assert len(run("ls", "-l", mounted.path / "many").splitlines()) == 100_001
    assert cpu_seconds(mounted.process.pid) - before < 10
