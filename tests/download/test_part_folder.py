"""The directory for what has arrived: whose it is, and that nothing of others is removed."""

import os
from pathlib import Path

import pytest

from ossfs_resume.download.part_folder import PartFolder, part_place
from ossfs_resume.errors import TargetError


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where it is."""
    return tmp_path / "target.ossfs-part"


def taken(place: Path) -> PartFolder:
    """It, which must be free."""
    folder = PartFolder.take(place)
    assert isinstance(folder, PartFolder)
    return folder


MOUNTS = """\
20 1 8:1 / / rw - ext4 /dev/vda rw
21 20 0:41 / /net rw - nfs4 server:/ rw
"""


def test_it_is_beside_the_target_where_it_can_be() -> None:
    state, elsewhere = Path("/state"), Path("/elsewhere")
    local, remote = Path("/here/target"), Path("/net/here/target")
    assert part_place(local, None, elsewhere, MOUNTS) == Path("/here/target.ossfs-part")
    assert part_place(remote, None, elsewhere, MOUNTS).parent == elsewhere
    assert part_place(remote, None, None, MOUNTS) == Path("/net/here/target.ossfs-part")
    for target in (local, remote):
        assert part_place(target, state, elsewhere, MOUNTS).parent == state


def test_one_has_it_at_a_time(place: Path) -> None:
    folder = taken(place)
    assert PartFolder.take(place) == os.getpid()
    folder.release()
    taken(place).release()


def test_it_is_removed_while_others_wait_for_it(place: Path) -> None:
    folder = taken(place)
    folder.open_store(65536).close()
    assert not folder.is_new
    folder.remove()
    assert not place.exists()
    second = taken(place)
    folder.release()
    assert PartFolder.take(place) == os.getpid()
    assert second.is_new
    second.release()


def test_a_directory_of_somebody_else_keeps_what_it_has(place: Path) -> None:
    place.mkdir()
    (place / "precious").touch()
    folder = taken(place)
    folder.open_store(65536).close()
    folder.remove()
    folder.release()
    assert os.listdir(place) == ["precious"]


def test_links_and_files_are_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TargetError, match="symbolic link"):
        PartFolder.take(place)
    place.unlink()
    place.write_bytes(b"a file")
    with pytest.raises(TargetError, match="not a directory"):
        PartFolder.take(place)
    assert place.read_bytes() == b"a file"


def test_a_store_that_cannot_be_used_is_begun_anew(place: Path, tmp_path: Path) -> None:
    folder = taken(place)
    (place / "store").write_bytes(b"what is this")
    folder.open_store(65536).close()
    folder.clear()
    (place / "store").symlink_to(tmp_path)
    folder.open_store(65536).close()
    assert not (place / "store").is_symlink()
    folder.release()
