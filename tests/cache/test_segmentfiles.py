"""The files that a data file consists of."""

import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ossfs_resume.cache.datafile import DataFile
from ossfs_resume.cache.datafolder import DataFolder
from ossfs_resume.cache.directory import Directory


class ShortSegments(DataFile):
    segment_bytes = 16


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(lambda: Directory.at(tmp_path))


def test_a_segment_appears_with_its_first_byte_only(folder: DataFolder) -> None:
    file = ShortSegments(folder, 0x1FE, "abc", 64)
    file.write(35, [b"x"])
    assert [path.name for path in folder.current().path.glob("fe/*")] == ["510-abc.2"]
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
    assert not list(folder.current().path.glob("*/*"))
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


def test_of_two_who_use_a_file_neither_is_ever_alone_with_it(folder: DataFolder) -> None:
    users = [DataFile(folder, 1, "abc", 32) for _ in range(2)]
    users[0].write(0, [b"1234"])
    for user in users:
        user.hold()

    def try_often(user: DataFile) -> bool:
        was_alone = False
        for _ in range(5000):
            was_alone |= user.lock_alone()
            user.share()
        return was_alone

    with ThreadPoolExecutor() as pool:
        assert list(pool.map(try_often, users)) == [False, False]
    users[1].close()
    assert users[0].lock_alone()
    users[0].close()
