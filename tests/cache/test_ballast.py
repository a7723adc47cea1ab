"""The room that is kept for bad times."""

from pathlib import Path

from ossfs_resume.cache.ballast import BYTES, Ballast


def test_it_takes_room_once_and_gives_it_back_once(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / "ballast")
    ballast.load()
    ballast.load()
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= BYTES
    assert ballast.drop()
    assert not ballast.drop()


def test_where_nothing_can_be_looked_at_it_does_nothing(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / ("too long a name" * 20))
    ballast.load()
    assert not ballast.drop()
