"""Sparse files in segments. Where data files lie."""

import os
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.cache.data_file import DataFile, DataFolder
from ossfs_resume.cache.directory import Directory
from support.machine import NO_TMPFS


class ShortSegments(DataFile):
    segment_bytes = 16


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(lambda: Directory.at(tmp_path))


def test_bytes_come_back_across_segments_and_chunks(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    @given(st.integers(0, 40), st.lists(st.binary(max_size=30), max_size=8))
    def check(offset: int, chunks: list[bytes]) -> None:
        file = ShortSegments(
            DataFolder(partial(Directory.at, tmp_path_factory.mktemp("data"))), 1, "abc", 400
        )
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


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason=NO_TMPFS)
def test_a_file_system_without_nowait_is_asked_once_or_answers_rightly(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = Path("/dev/shm") / f"ossfs-resume-{os.getpid()}"
    path.mkdir()
    try:
        file = DataFile(folder := DataFolder(lambda: Directory.at(path)), 1, "abc", 100)
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


def test_listing_names_row_and_suffix_and_skips_strangers(tmp_path: Path) -> None:
    folder = DataFolder(lambda: Directory.at(tmp_path))
    file = ShortSegments(folder, 257, "abc", 48)
    file.write(0, [b"x" * 20])
    file.close()
    (tmp_path / "01" / "notes.txt").touch()
    (files,) = folder.listing()
    assert sorted((file.row_id, file.suffix, file.name) for file in files) == [
        (257, "abc", "257-abc.0"),
        (257, "abc", "257-abc.1"),
    ]
