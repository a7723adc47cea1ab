"""Sparse files in segments."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.cache.datafile import DataFile
from ossfs_resume.cache.datafolder import DataFolder


class ShortSegments(DataFile):
    segment_bytes = 16


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path)


def test_a_segment_appears_with_its_first_byte_only(folder: DataFolder) -> None:
    file = ShortSegments(folder, 0x1FE, "abc", 64)
    file.write(35, [b"x"])
    assert [path.name for path in folder.path.glob("fe/*")] == ["510-abc.2"]
    file.close()


def test_bytes_come_back_across_segments_and_chunks(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    @given(st.integers(0, 40), st.lists(st.binary(max_size=30), max_size=8))
    def check(offset: int, chunks: list[bytes]) -> None:
        file = ShortSegments(DataFolder(tmp_path_factory.mktemp("data")), 1, "abc", 400)
        data = b"".join(chunks)
        file.write(offset, chunks)
        if data:
            assert file.read(offset, len(data)) == data
        file.close()

    check()


def test_more_chunks_than_one_system_call_takes_are_written(folder: DataFolder) -> None:
    file = DataFile(folder, 1, "abc", 10_000)
    chunks = [bytes([n & 0xFF]) for n in range(5000)]
    file.write(0, chunks)
    assert file.read(0, 5000) == b"".join(chunks)
    file.close()


def test_reading_past_the_end_of_the_file_is_short(folder: DataFolder) -> None:
    file = DataFile(folder, 1, "abc", 100)
    file.write(0, [b"12345"])
    assert file.read(3, 10) == b"45"
    file.close()


def test_nowait_gives_everything_or_nothing(folder: DataFolder) -> None:
    file = DataFile(folder, 1, "abc", 100)
    file.write(0, [b"12345"])
    assert file.read_nowait(1, 4) in (b"2345", None)
    assert file.read_nowait(1, 5) is None
    file.close()


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="needs a tmpfs")
def test_a_file_system_without_nowait_is_asked_once_or_answers_rightly(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = Path("/dev/shm") / f"ossfs-resume-{os.getpid()}"
    path.mkdir()
    try:
        file = DataFile(folder := DataFolder(path), 1, "abc", 100)
        file.write(0, [b"12345"])
        answer = file.read_nowait(0, 5)
        assert answer == (b"12345" if folder.supports_nowait else None)
        file.close()
    finally:
        for each in path.glob("*/*"):
            each.unlink()
        (path / "01").rmdir()
        path.rmdir()


def test_a_refusal_of_nowait_is_remembered_by_the_folder(folder: DataFolder) -> None:
    folder.supports_nowait = False
    file = DataFile(folder, 1, "abc", 100)
    file.write(0, [b"12345"])
    assert file.read_nowait(0, 5) is None
    file.close()


def test_an_unlinked_file_is_readable_through_its_descriptor_and_never_created_again(
    folder: DataFolder,
) -> None:
    file = ShortSegments(folder, 1, "abc", 32)
    file.write(0, [b"1234"])
    file.unlink()
    assert file.read(0, 4) == b"1234"
    with pytest.raises(FileNotFoundError):
        file.write(16, [b"5678"])
    assert not list(folder.path.glob("*/*"))
    file.close()


def test_a_closed_file_stays_closed(folder: DataFolder) -> None:
    file = DataFile(folder, 1, "abc", 32)
    file.write(0, [b"1234"])
    file.close()
    with pytest.raises(OSError, match="closed"):
        file.read(0, 4)


def test_syncing_a_file_that_is_gone_is_an_error(folder: DataFolder) -> None:
    with pytest.raises(OSError, match="gone") as raised:
        DataFile(folder, 1, "abc", 32).sync()
    assert raised.value.errno == errno.ENOENT


def test_sync_opens_what_an_earlier_process_wrote(folder: DataFolder) -> None:
    first = ShortSegments(folder, 1, "abc", 48)
    first.write(20, [b"1234"])
    first.close()
    second = ShortSegments(folder, 1, "abc", 48)
    second.sync()
    second.close()
