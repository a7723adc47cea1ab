"""What prevents a mount is told in one line, with a remedy."""

import os
from pathlib import Path

import pytest

from ossfs_resume.errors import MountError
from ossfs_resume.fuse import dead_mounts, preflight
from ossfs_resume.fuse.mounts import Mount
from ossfs_resume.fuse.preflight import prepare


@pytest.fixture(autouse=True)
def _device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "device"
    device.touch()
    monkeypatch.setattr(preflight, "_DEVICE", str(device))
    (tmp_path / "mtab").symlink_to("/proc/self/mounts")
    monkeypatch.setattr(preflight, "TABLE_OF_HELPER", str(tmp_path / "mtab"))


def refusal(path: Path, *, allow_other: bool = False) -> str:
    return refusal_of(str(path), allow_other=allow_other)


def refusal_of(path: str, *, allow_other: bool = False) -> str:
    with pytest.raises(MountError) as raised:
        prepare(path, allow_other=allow_other)
    text = str(raised.value)
    assert "\n" not in text
    return text


def test_a_good_mount_point_is_returned_without_symbolic_links(tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    (tmp_path / "link").symlink_to("mnt")
    assert prepare(str(tmp_path / "link"), allow_other=True) == str(tmp_path / "mnt")


def test_missing(tmp_path: Path) -> None:
    assert f"mkdir -p {tmp_path}/absent" in refusal(tmp_path / "absent")


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "not a directory" in refusal(tmp_path / "file")


def test_not_empty(tmp_path: Path) -> None:
    assert "not empty" in refusal(tmp_path)


def test_another_file_system_is_mounted_there_and_in_use() -> None:
    assert refusal(Path("/proc")) == "/proc is not empty; name an empty directory"


@pytest.mark.parametrize(("kind", "is_empty"), [("ext4", True), ("autofs", False)])
def test_what_is_mounted_there_is_covered_if_it_is_empty_or_a_trigger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, is_empty: bool
) -> None:
    """To look into a trigger would wait for the mount that is to be made."""
    path = tmp_path / "mnt"
    path.mkdir()
    if not is_empty:
        (path / "x").touch()
    other = Mount(1, 0, 1, str(path), kind, "systemd-1")
    monkeypatch.setattr(dead_mounts, "mount_at", lambda _path: other)
    assert prepare(str(path), allow_other=True) == str(path)


def test_the_empty_name_is_not_the_current_directory() -> None:
    assert "empty name" in refusal_of("")


@pytest.mark.parametrize(
    ("error", "hint"),
    [(FileNotFoundError, "modprobe fuse"), (PermissionError, "0666"), (OSError, "modprobe")],
)
def test_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[OSError], hint: str
) -> None:
    (tmp_path / "mnt").mkdir()

    def refuse(*_arguments: object) -> int:
        raise error(0, "no")

    monkeypatch.setattr(os, "open", refuse)
    assert hint in refusal(tmp_path / "mnt")


def test_users_need_the_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mnt").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "install the package fuse3" in refusal(tmp_path / "mnt")


def test_users_need_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mnt").mkdir()
    monkeypatch.setattr(preflight, "has_helper", lambda: True)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert "echo me:x:54321:" in refusal(tmp_path / "mnt")


@pytest.mark.parametrize(
    ("kind", "lack"),
    [
        ("absent", "mtab does not exist, so"),
        ("a directory", "mtab cannot be read (Is a directory), so"),
        ("a file", "mtab is not the kernel's list of mounts, so"),
    ],
)
def test_users_need_the_table_of_mounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, lack: str
) -> None:
    """fusermount3 mounts without, and then finds nothing to unmount."""
    table = tmp_path / "mtab"
    table.unlink()
    if kind == "a directory":
        table.mkdir()
    elif kind == "a file":
        table.write_text("/dev/root / ext4 rw 0 0\n")
    (tmp_path / "mnt").mkdir()
    monkeypatch.setattr(preflight, "has_helper", lambda: True)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getuid", lambda: 0)  # who has a name everywhere
    said = refusal(tmp_path / "mnt")
    assert lack in said
    assert said.endswith("as root: ln -sf /proc/self/mounts /etc/mtab")


def test_users_need_privileges_for_the_helper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mnt").mkdir()
    (tmp_path / "status").write_text("Seccomp:\t0\nNoNewPrivs:\t1\n")
    monkeypatch.setattr(preflight, "_STATUS", tmp_path / "status")
    monkeypatch.setattr(preflight, "has_helper", lambda: True)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert "leave out no-new-privileges" in refusal(tmp_path / "mnt")


@pytest.mark.parametrize(("mode", "may_write"), [(0o555, False), (0o1777, True)])
def test_users_cover_what_they_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, may_write: bool
) -> None:
    """Of a directory like /tmp its owner alone."""
    (tmp_path / "mnt").mkdir()
    (tmp_path / "mnt").chmod(mode)
    monkeypatch.setattr(preflight, "has_helper", lambda: True)
    monkeypatch.setattr(os, "access", lambda *_: may_write)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getuid", lambda: 1)
    assert "mount on a directory of your own" in refusal(tmp_path / "mnt")


@pytest.mark.parametrize("text", [None, "", "#user_allow_other\n", "user_allow_other_not\n"])
def test_users_may_not_let_others_in_unless_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    (tmp_path / "mnt").mkdir()
    configuration = tmp_path / "fuse.conf"
    monkeypatch.setattr(preflight, "CONFIGURATION", configuration)
    monkeypatch.setattr(preflight, "has_helper", lambda: True)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    if text is not None:
        configuration.write_text(text)
    assert "user_allow_other" in refusal(tmp_path / "mnt", allow_other=True)
    configuration.write_text("# comment\n user_allow_other \n")
    assert prepare(str(tmp_path / "mnt"), allow_other=True)
