"""Modes, groups and descriptors: who may do what with a mount, and what it keeps."""

import errno
import grp
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.machine import needs_root
from support.mount import PROGRAM, Mount
from support.objects import write

pytestmark = pytest.mark.fuse

MEMBER, STRANGER, GROUP = 12345, 12346, 23456


@pytest.fixture(autouse=True)
def _objects(emulator: EmulatorProcess) -> None:
    write(emulator.directory / "dir/run", b"#!/bin/sh\necho it ran\n")


def modes(mount: Mount) -> tuple[int, int]:
    paths = (mount.point / "dir/run", mount.point / "dir")
    file, directory = (path.stat().st_mode & 0o777 for path in paths)
    return file, directory


def test_a_program_on_the_mount_runs_if_its_mode_says_so(mounts: Callable[..., Mount]) -> None:
    mount = mounts(options=["--file-mode", "0775", "--dir-mode", "0770", "--umask", "027"]).start()
    assert modes(mount) == (0o750, 0o750)
    result = subprocess.run([mount.point / "dir/run"], capture_output=True, check=True)
    assert result.stdout == b"it ran\n"


def test_noexec_is_obeyed(mounts: Callable[..., Mount]) -> None:
    mount = mounts(options=["--file-mode", "0755", "-o", "noexec"]).start()
    with pytest.raises(PermissionError):
        subprocess.run([mount.point / "dir/run"], check=True)


def test_without_a_word_nothing_runs(mount: Mount) -> None:
    assert modes(mount) == (0o644, 0o755)


def as_user(uid: int, groups: str, mount: Mount, name: str) -> int:
    """Sets an attribute of the file as another user; returns the errno."""
    pin = f"import os; os.setxattr({str(mount.point / 'dir/run')!r}, {name!r}, b'1')"
    command = [
        "/usr/bin/python3",
        "-c",
        f"try: {pin}\nexcept OSError as e: raise SystemExit(e.errno)",
    ]
    drop = ["setpriv", f"--reuid={uid}", f"--regid={uid}", *groups.split()]
    return subprocess.run([*drop, *command], check=False).returncode


@needs_root
def test_members_of_the_control_group_start_downloads(
    mounts: Callable[..., Mount], tmp_path: Path
) -> None:
    for place in (tmp_path, *tmp_path.parents[:-2]):  # those that pytest made
        if place.stat().st_uid == 0 and place != Path("/tmp"):
            place.chmod(0o755)
    mount = mounts(options=["--allow-other", "--control-group", str(GROUP)]).start()
    assert modes(mount) == (0o664, 0o775)
    assert (mount.point / "dir/run").stat().st_gid == GROUP
    member, stranger = f"--groups={GROUP}", "--clear-groups"
    for name in ("user.ossfs.materialize", "user.ossfs.pin"):
        assert as_user(MEMBER, member, mount, name) == 0
        assert as_user(STRANGER, stranger, mount, name) == errno.EACCES


def test_a_control_group_that_cannot_see_the_mount_is_refused(
    mounts: Callable[..., Mount],
) -> None:
    result = mounts(options=["--control-group", grp.getgrgid(0).gr_name]).run()
    assert result.returncode == 2
    assert "without --allow-other" in result.stderr


def test_the_mount_keeps_no_descriptor_of_its_caller(
    mounts: Callable[..., Mount], tmp_path: Path
) -> None:
    """A lock that the calling script holds must end with the script."""
    mount, lock = mounts(), tmp_path / "lock"
    script = 'exec 9>"$0" 7<&9; flock 9; exec "$@"'
    command = ["/bin/bash", "-c", script, lock, *mount.command()]
    environment = os.environ | mount.emulator.environment
    subprocess.run(command, check=True, env=environment, close_fds=False)
    assert os.path.ismount(mount.point)
    mount.pid = mount.statistics()["pid"]
    held = [os.readlink(path) for path in Path(f"/proc/{mount.pid}/fd").iterdir()]
    assert str(lock) not in held
    subprocess.run(["flock", "--nonblock", lock, "true"], check=True)


@pytest.mark.parametrize("umask", [0, 0o277])
def test_a_new_log_is_its_owner_s_alone(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], umask: int
) -> None:
    mount, before = mounts(), os.umask(umask)
    try:
        mount.start()
    finally:
        os.umask(before)
    assert mount.log.stat().st_mode & 0o777 == 0o600


def test_a_log_that_is_there_keeps_its_mode(mounts: Callable[..., Mount]) -> None:
    mount = mounts()
    mount.log.touch()
    mount.log.chmod(0o640)
    mount.start()
    assert mount.log.stat().st_mode & 0o777 == 0o640
    assert "is mounted on" in mount.log.read_text()


@needs_root
def test_a_log_that_is_another_user_s_link_is_refused(
    mounts: Callable[..., Mount], tmp_path: Path
) -> None:
    victim, mount = tmp_path / "victim", mounts()
    victim.write_text("")
    mount.log.symlink_to(victim)
    os.lchown(mount.log, STRANGER, STRANGER)
    result = mount.run()
    assert result.returncode == 2
    assert "it is a link of another user" in result.stderr
    assert victim.read_text() == ""


@pytest.mark.parametrize(
    ("options", "point", "said"),
    [
        (["--cache-dir", "m/c"], "m", "--cache-dir: {}/m/c lies inside the mount point {}/m"),
        (["--cache-dir", "l/c"], "m", "--cache-dir: {}/l/c lies inside the mount point {}/m"),
        (["--log-file", "m/log"], "m", "--log-file: {}/m/log lies inside the mount point {}/m"),
        (["--cache-dir", "c"], "c/m", "the mount point {}/c/m lies inside the cache directory"),
        ([], "", "no mount point is given"),
        (["--cache-dir", ""], "m", "--cache-dir: no value is given"),
        (["--config", ""], "m", "--config: no value is given"),
        (["-o", "config="], "m", "--config: no value is given"),
    ],
)
def test_places_that_make_no_sense_are_refused_before_anything_is_made(
    tmp_path: Path, options: list[str], point: str, said: str
) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "l").symlink_to("m")
    command = [*PROGRAM, "mount", *options, "oss://sample", point]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 2
    assert said.replace("{}", str(tmp_path)) in result.stderr
    assert list((tmp_path / "m").iterdir()) == []


def test_a_working_directory_that_was_removed(mounts: Callable[..., Mount], tmp_path: Path) -> None:
    """Absolute paths mean what they meant; a relative one means nothing."""
    mount = mounts()
    environment = os.environ | mount.emulator.environment
    script = 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"'
    shell = ["/bin/sh", "-c", script, tmp_path / "gone"]
    subprocess.run([*shell, *mount.command()], check=True, env=environment)
    mount.pid = mount.statistics()["pid"]
    assert os.listdir(mount.point) == ["dir"]
    for path in (["--cache-dir", "c", "oss://sample", "/mnt"], ["oss://sample", "mnt"]):
        result = subprocess.run(
            [*shell, *PROGRAM, "mount", *path], capture_output=True, text=True, check=False
        )
        assert result.returncode == 2
        [line] = result.stderr.splitlines()
        assert "the working directory has been removed" in line
