"""The room that is kept for bad times."""

from pathlib import Path

import pytest

from ossfs_resume.cache.ballast import BYTES, Ballast
from ossfs_resume.cache.directory import Directory


def test_it_takes_room_once_and_gives_it_back_once(tmp_path: Path) -> None:
    ballast = Ballast(lambda: Directory.at(tmp_path))
    ballast.load()
    ballast.load()
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= BYTES
    assert ballast.drop()
    assert not ballast.drop()


def test_where_nothing_can_be_looked_at_it_does_nothing(tmp_path: Path) -> None:
    ballast = Ballast(lambda: Directory.at(tmp_path / "missing"))
    ballast.load()
    assert not ballast.drop()
    with pytest.raises(FileNotFoundError):
        ballast.require()
