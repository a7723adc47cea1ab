"""Every modifying call answers EROFS, for root too, and the bucket is never written to."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount

pytestmark = pytest.mark.fuse


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmulatorProcess, Path]]:
    place = tmp_path_factory.mktemp("read-only")
    (place / "bucket/dir").mkdir(parents=True)
    (place / "bucket/dir/below").write_bytes(b"content")
    (place / "bucket/file").write_bytes(b"content")
    with EmulatorProcess(place / "bucket") as emulator, Mount(emulator, place) as mount:
        yield emulator, mount.point


CALLS: dict[str, Callable[[Path], object]] = {
    "open for writing": lambda p: os.open(p / "file", os.O_WRONLY),
    "open for reading and writing": lambda p: os.open(p / "file", os.O_RDWR),
    "open with truncation": lambda p: os.open(p / "file", os.O_RDONLY | os.O_TRUNC),
    "append": lambda p: os.open(p / "file", os.O_WRONLY | os.O_APPEND),
    "create": lambda p: os.open(p / "new", os.O_CREAT | os.O_WRONLY),
    "truncate": lambda p: os.truncate(p / "file", 1),
    "unlink": lambda p: os.unlink(p / "file"),
    "mkdir": lambda p: os.mkdir(p / "new"),
    "rmdir": lambda p: os.rmdir(p / "dir"),
    "rename": lambda p: os.rename(p / "file", p / "new"),
    "link": lambda p: os.link(p / "file", p / "new"),
    "symlink": lambda p: os.symlink("file", p / "new"),
    "mknod": lambda p: os.mknod(p / "new"),
    "mkfifo": lambda p: os.mkfifo(p / "new"),
    "chmod": lambda p: os.chmod(p / "file", 0o600),
    "chown": lambda p: os.chown(p / "file", 1, 1),
    "utime": lambda p: os.utime(p / "file", (1, 1)),
    "removexattr": lambda p: os.removexattr(p / "file", "user.ossfs.materialize"),
}


@pytest.mark.parametrize("call", CALLS)
def test_it_is_refused(mounted: tuple[EmulatorProcess, Path], call: str) -> None:
    emulator, point = mounted
    with pytest.raises(OSError) as caught:
        CALLS[call](point)
    assert caught.value.errno == errno.EROFS
    counts = emulator.statistics()["requests"]
    assert counts["put"] == counts["delete"] == 0
    assert sorted(os.listdir(point)) == ["dir", "file"]


def test_modes_let_the_owner_set_attributes_and_copy_twice(
    mounted: tuple[EmulatorProcess, Path],
) -> None:
    _, point = mounted
    assert oct((point / "file").stat().st_mode) == "0o100644"
    assert oct((point / "dir").stat().st_mode) == "0o40755"
