"""Where data files lie."""

from pathlib import Path

from ossfs_resume.cache.datafile import DataFile
from ossfs_resume.cache.datafolder import DataFolder
from ossfs_resume.cache.directory import Directory


class ShortSegments(DataFile):
    segment_bytes = 16


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
