"""The file that a download makes."""

import os
from pathlib import Path

import pytest

from ossfs_resume.cache.crc64 import checksum
from ossfs_resume.download.new_file import NewFile
from ossfs_resume.download.target import Target
from ossfs_resume.errors import TargetError
from ossfs_resume.oss.models import ObjectMeta

DATA = b"some bytes"
META = ObjectMeta("key", len(DATA), "etag", 1_500_000_000, checksum([DATA]))


def write(path: Path, data: bytes = DATA, modified: int = META.modified) -> Target:
    path.write_bytes(data)
    os.utime(path, (modified, modified))
    return Target.at(path)


def test_it_is_the_object_by_size_time_and_bytes(tmp_path: Path) -> None:
    target = write(tmp_path / "target")
    assert target.may_be(META)
    assert target.has_bytes_of(META)
    assert not write(tmp_path / "1", b"other byte").has_bytes_of(META)
    assert not write(tmp_path / "2", modified=META.modified + 1).may_be(META)
    assert not write(tmp_path / "3", DATA[:-1]).may_be(META)
    assert not Target.at(tmp_path / "4").may_be(META)


def test_it_is_older_if_the_bucket_has_something_else(tmp_path: Path) -> None:
    assert not write(tmp_path / "target").is_older(META)
    assert not write(tmp_path / "target", modified=META.modified + 1).is_older(META)
    assert write(tmp_path / "target", modified=META.modified - 1).is_older(META)
    assert write(tmp_path / "target", b"short", META.modified + 1).is_older(META)
    assert Target.at(tmp_path / "none").is_older(META)


def test_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "file" / "below"):
        with pytest.raises(TargetError, match=r"^cannot download to [^:]*: [^:]*$"):
            Target.at(path)


@pytest.fixture(params=[False, True])
def target(tmp_path: Path, request: pytest.FixtureRequest) -> Target:
    """One that does not exist, or does."""
    if not request.param:
        return Target.at(tmp_path / "target")
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "target").chmod(0o750)
    return Target.at(tmp_path / "target")


@pytest.mark.parametrize("has_tmpfile", [True, False])
def test_a_new_file_has_no_name_before_it_is_whole(
    target: Target, has_tmpfile: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_tmpfile:  # asks for a directory to be opened for writing: EISDIR, as on NFS
        monkeypatch.setattr("os.O_TMPFILE", os.O_DIRECTORY)
    file = NewFile(target)
    file.write([DATA, memoryview(DATA)], target, META)
    assert (target.path.read_bytes() if target.exists else None) == (
        b"old" if target.exists else None
    )
    file.publish()
    file.close()
    assert target.path.read_bytes() == DATA * 2
    assert target.path.stat().st_mtime == META.modified
    assert target.path.stat().st_mode & 0o777 == (0o750 if target.exists else 0o644)
    assert os.listdir(target.path.parent) == ["target"]


@pytest.mark.parametrize("has_tmpfile", [True, False])
def test_one_that_is_given_up_leaves_nothing(
    target: Target, has_tmpfile: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_tmpfile:
        monkeypatch.setattr("os.O_TMPFILE", os.O_DIRECTORY)
    before = os.listdir(target.path.parent)
    NewFile(target).close()
    assert os.listdir(target.path.parent) == before
