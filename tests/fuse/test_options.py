"""libfuse gets exactly the options it may have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.errors import MountError
from ossfs_resume.fuse.options import SessionSettings, libfuse_options

BASE = {"fsname=oss://b", "subtype=ossfs-resume", "default_permissions", "noatime"} | {
    "nodev",
    "nosuid",
}


def test_the_usual_options() -> None:
    assert libfuse_options(SessionSettings("oss://b", "/m")) == BASE


def test_other_users_on_request() -> None:
    settings = SessionSettings("oss://b", "/m", allow_other=True, options=("noexec", "ro", "rw"))
    expected = BASE | {"allow_other", "noexec"}
    assert libfuse_options(settings) == expected


@pytest.mark.parametrize("option", ["max_read=65536", "max_background=64", "suid", "a,b"])
def test_unknown_options_are_named(option: str) -> None:
    with pytest.raises(MountError, match=option):
        libfuse_options(SessionSettings("oss://b", "/m", options=(option,)))


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("oss://b,c", "oss://b\\,c"),
        ("a\\b", "a\\\\b"),
        ("oss://b/数据\n", "oss://b/%E6%95%B0%E6%8D%AE%0A"),
        ("a\udcff", "a%FF"),
    ],
)
def test_the_source_is_escaped(source: str, shown: str) -> None:
    options = libfuse_options(SessionSettings(source, "/m"))
    assert f"fsname={shown}" in options


@given(st.text())
def test_no_source_breaks_out_of_its_option(source: str) -> None:
    """Splitting as libfuse does gives the option back as one piece of printable ASCII."""
    options = libfuse_options(SessionSettings(source, "/m"))
    fsname = next(option for option in options if option.startswith("fsname="))
    unescaped = fsname.replace("\\\\", "").replace("\\,", "")
    assert "," not in unescaped
    assert "\\" not in unescaped
    assert fsname.isascii()
    assert fsname.isprintable()
