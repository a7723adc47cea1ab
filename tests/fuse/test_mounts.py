"""The mount table is read as the kernel writes it."""

import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ossfs_resume.errors import MountError
from ossfs_resume.fuse import mounts
from ossfs_resume.fuse.mounts import Mount, detach, mount_at, mount_of, parse_mountinfo

LINE = (
    r"36 35 0:52 / /mnt/a\040b rw,noatime shared:1 master:2 - fuse.ossfs-resume "
    r"oss://b,\134\011 rw,user_id=7,group_id=8,allow_other"
)


def test_a_line_with_optional_fields_and_escapes() -> None:
    mount = Mount(36, 0, 52, "/mnt/a b", "fuse.ossfs-resume", "oss://b,\\\t", 7, 8, True)
    assert parse_mountinfo(LINE + "\n") == [mount]
    assert mount.is_ours


def test_lines_that_are_not_understood_are_skipped() -> None:
    assert parse_mountinfo("\ngarbage\n1 2 0:3 / /x rw\n") == []


@example("-")
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_path_survives_the_kernel_s_escapes(path: str) -> None:
    escaped = "".join(f"\\{ord(c):03o}" if c in " \t\n\\" else c for c in path)
    line = f"36 35 0:52 / {escaped} rw - tmpfs tmpfs rw"
    assert [mount.mountpoint for mount in parse_mountinfo(line)] == [path]


def test_the_topmost_of_two_mounts_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    table = [Mount(5, 0, 1, "/m", "ext4", "a"), Mount(6, 0, 2, "/m", "ext4", "b")]
    monkeypatch.setattr(mounts, "mounts", lambda: table)
    assert mount_at("/m") == table[1]
    assert mount_at("/n") is None


def test_a_path_lies_on_the_innermost_mount_and_the_topmost_of_those() -> None:
    points = ("/", "/m", "/m/n", "/mm", "/m/n")
    table = [Mount(number, 0, 1, point, "x", "y") for number, point in enumerate(points)]
    for path, number in (("/", 0), ("/m", 1), ("/m/x", 1), ("/m/n/x/y", 4), ("/mmm", 0)):
        assert mount_of(path, table) == table[number]
    assert mount_of("/x", table[1:]) is None


def test_proc_is_found_in_the_real_table() -> None:
    mount = mount_at("/proc")
    assert mount is not None
    assert mount.file_system_type == "proc"
    assert not mount.is_ours


def test_detaching_what_is_no_mount_tells_why(tmp_path: os.PathLike[str]) -> None:
    with pytest.raises(MountError, match="cannot unmount"):
        detach(str(tmp_path))
