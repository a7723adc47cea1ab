"""What is not there, is an object or is private is no empty directory: ``rsync --delete`` would
empty its copy after it."""

import os
from collections.abc import Callable

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount
from support.objects import write

pytestmark = pytest.mark.fuse

DENIED = {"fail_every": 1, "fail_status": 403, "fail_code": "AccessDenied"}


def refusal(mount: Mount) -> str:
    result = mount.run()
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert not os.path.ismount(mount.point)
    return line


@pytest.fixture(autouse=True)
def _objects(emulator: EmulatorProcess) -> None:
    write(emulator.directory / "dir/file", b"content")
    write(emulator.directory / "object", b"content")


def test_a_prefix_without_keys_is_refused_unless_it_is_meant(mounts: Callable[..., Mount]) -> None:
    source = "oss://sample/dri"
    assert "there is no key below oss://sample/dri; correct" in refusal(mounts(source=source))
    meant = mounts(source=source, options=["--allow-empty"]).start()
    assert os.listdir(meant.point) == []


@pytest.mark.parametrize(
    ("name", "parent"), [("object", "oss://sample"), ("dir/file", "oss://sample/dir")]
)
def test_an_object_is_no_directory(mounts: Callable[..., Mount], name: str, parent: str) -> None:
    said = refusal(mounts(source=f"oss://sample/{name}", options=["--allow-empty"]))
    assert f"oss://sample/{name} is an object, not a directory; mount {parent} and" in said


def test_an_empty_directory_with_a_marker_is_one(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    write(emulator.directory / ".ossfs-emulator/keys/empty%2F", b"")
    assert os.listdir(mounts(source="oss://sample/empty").start().point) == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("", ["dir", "object"]),
        ("/", ["dir", "object"]),
        ("//", ["top"]),
        ("/dir", ["file"]),
        ("/dir//", ["below"]),
        ("/./x", ["dot"]),
    ],
)
def test_exactly_what_was_named_is_shown(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], source: str, names: list[str]
) -> None:
    for key in ("%2Ftop", "dir%2F%2Fbelow", "%2E%2Fx%2Fdot"):
        write(emulator.directory / ".ossfs-emulator/keys" / key, b"content")
    mount = mounts(source=f"oss://sample{source}").start()
    assert sorted(os.listdir(mount.point)) == names
    assert mount.statistics()["source"] == f"oss://sample{source if source != '/' else ''}"
    for name in names:
        if name not in ("dir",):
            assert (mount.point / name).read_bytes() == b"content"


def test_an_empty_bucket_is_mounted_with_a_line(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    emulator.renew()
    mount = mounts().start()
    assert os.listdir(mount.point) == []
    assert "oss://sample: the bucket is empty" in mount.log.read_text()


def test_a_prefix_that_is_known_needs_no_origin(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    mount = mounts(source="oss://sample/dir", options=["--timeout", "3"]).start()
    assert os.listdir(mount.point) == ["file"]
    mount.stop()
    emulator.faults(hang="all")
    assert os.listdir(mount.start().point) == ["file"]
    mount.stop()
    offline = mounts(source="oss://sample/dir", options=["--offline"]).start()
    assert os.listdir(offline.point) == ["file"]


def test_a_key_that_may_not_list_cannot_tell(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    emulator.faults(kinds=["list"], **DENIED)
    mount = mounts(source="oss://sample/dir").start()
    assert (mount.point / "file").read_bytes() == b"content"


def test_an_anonymous_mount_of_what_is_private_is_refused(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    said = refusal(mounts(options=["--signature", "anonymous"]))
    assert "it is not public: AccessDenied" in said
    assert "give an access key" in said
