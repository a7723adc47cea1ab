"""Where an object goes, and what is refused."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.download.places import below, part_folder, part_folder_in
from ossfs_resume.errors import TargetError

HERE = Path("/here")


@pytest.mark.parametrize(
    "name", ["", "a/", "/a", "a//b", ".", "..", "a/../b", "a/..", "a\0b", "x" * 256, "é" * 128]
)
def test_what_no_path_can_express(name: str) -> None:
    with pytest.raises(TargetError):
        below(HERE, name, name)


@given(st.text(st.sampled_from("ab./\0~é\n"), max_size=12))
def test_nothing_leads_out(name: str) -> None:
    try:
        path = below(HERE, name, name)
    except TargetError:
        return
    assert os.path.normpath(path) == str(path) == f"/here/{name}"


@given(st.text(st.sampled_from("aé."), min_size=1, max_size=255))
def test_the_folder_beside_a_target_has_a_name_that_can_be(name: str) -> None:
    if len(os.fsencode(name)) > 255 or name in (".", ".."):
        return
    folder = part_folder(HERE / name)
    assert folder.parent == HERE
    assert len(os.fsencode(folder.name)) <= 255
    assert folder.name.endswith(".ossfs-part")


def test_targets_have_folders_of_their_own() -> None:
    names = ["x" * 255, "y" + "x" * 254, "x" * 254]
    assert len({part_folder(HERE / name) for name in names}) == 3
    places = [Path("/a/object"), Path("/b/object")]
    assert len({part_folder_in(HERE, place) for place in places}) == 2
    assert all(part_folder_in(HERE, place).parent == HERE for place in places)
