"""What can be asked of a mount, asked by commands."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support import launcher
from support.emulator import EmulatorProcess
from support.mount import PROGRAM, Mount
from support.waiting import eventually

pytestmark = pytest.mark.fuse

MIB = 1 << 20


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return launcher.run([str(one) for one in arguments], {})


def pinned(mount: Mount, path: str) -> bool:
    return bool(json.loads(mount.attribute(path, "status"))["pinned"])


@pytest.fixture
def mount(emulator: EmulatorProcess, mounts: Callable[..., Mount]) -> Mount:
    """Of three files, two of them in a directory."""
    (emulator.directory / "dir").mkdir()
    for name in ("file", "dir/a", "dir/b"):
        (emulator.directory / name).write_bytes(name.encode() * 100_000)
    return mounts().start()


def test_each_verb_does_on_files_and_directories_what_its_attribute_does(mount: Mount) -> None:
    point = mount.point
    assert run("pin", point / "file", point / "dir").returncode == 0
    assert [pinned(mount, name) for name in ("file", "dir/a", "dir/b")] == [True] * 3
    eventually(lambda: mount.attribute("dir", "state") == "verified")
    result = run("evict", point / "file")
    assert (result.returncode, result.stderr) == (
        1, f"ossfs-resume: {point}/file: it is open or pinned\n",
    )  # fmt: skip
    assert run("unpin", point).returncode == 0
    eventually(lambda: mount.attribute("file", "state") == "verified")
    assert run("verify", point / "dir").returncode == 0
    assert run("evict", point / "file", point / "dir").returncode == 0
    assert [mount.attribute(name, "state") for name in ("file", "dir/a")] == ["remote"] * 2


def test_a_download_is_paused_resumed_and_cancelled(
    emulator: EmulatorProcess, mount: Mount
) -> None:
    emulator.faults(hang="data")
    os.setxattr(mount.point / "dir", "user.ossfs.materialize", b"1")
    for verb, state in (("pause", "paused"), ("resume", "fetching"), ("cancel", "remote")):
        assert run(verb, mount.point / "dir").returncode == 0
        eventually(lambda state=state: mount.attribute("dir/a", "state") == state)


def test_a_part_of_a_download_is_not_stopped_and_that_is_said(
    emulator: EmulatorProcess, mount: Mount
) -> None:
    emulator.faults(hang="data")
    os.setxattr(mount.point / "dir", "user.ossfs.materialize", b"1")
    eventually(lambda: mount.attribute("dir/a", "state") == "fetching")
    result = run("cancel", mount.point / "dir/a")
    assert (result.returncode, result.stderr) == (
        1,
        f"ossfs-resume: {mount.point}/dir/a: it is part of a directory's download;"
        " name the directory\n",
    )


def test_refresh_asks_the_bucket_again(emulator: EmulatorProcess, mount: Mount) -> None:
    os.listdir(mount.point)
    (emulator.directory / "new").write_bytes(b"x")
    assert run("refresh", mount.point).returncode == 0
    eventually(lambda: "new" in os.listdir(mount.point))


@pytest.mark.parametrize("separator", ["\n", "\0"])
def test_paths_come_from_a_list_too(mount: Mount, tmp_path: Path, separator: str) -> None:
    names = tmp_path / "names"
    names.write_text(separator.join(str(mount.point / name) for name in ("file", "dir/a")))
    null = ["-0"] * (separator == "\0")
    assert run("pin", mount.point / "dir/b", "--from-file", names, *null).returncode == 0
    assert [pinned(mount, name) for name in ("file", "dir/a", "dir/b")] == [True] * 3
    command = [*PROGRAM, "unpin", "--from-file", "-", *null]
    subprocess.run(command, input=names.read_bytes(), check=True)
    assert [pinned(mount, name) for name in ("file", "dir/a", "dir/b")] == [False, False, True]


def test_a_link_leads_to_the_mount_and_so_does_a_relative_path(
    mount: Mount, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(mount.point / "dir")
    assert run("pin", os.path.relpath(link / "a")).returncode == 0
    assert pinned(mount, "dir/a")


def test_what_cannot_be_done_is_one_line_and_the_rest_is_done(mount: Mount, tmp_path: Path) -> None:
    gone = mount.point / "gone"
    result = run("pin", tmp_path, gone, tmp_path / "none", "", mount.point / "file")
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"ossfs-resume: {tmp_path} is on no mount of ossfs-resume",
        f"ossfs-resume: {tmp_path}/none: no such file or directory",
        "ossfs-resume: an empty name is no path",
        f"ossfs-resume: {gone}: no such file or directory",
    ]
    assert pinned(mount, "file")


@pytest.mark.parametrize("arguments", [[], ["--from-file", "/nowhere"], ["--nonsense", "x"]])
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    assert run("pin", *arguments).returncode == 2


def test_a_dead_mount_is_called_dead_and_how_to_mount_it_is_said(mount: Mount) -> None:
    os.kill(mount.pid, signal.SIGKILL)
    mount.pid = 0
    result = run("pin", mount.point / "file")
    assert result.returncode == 1
    assert result.stderr == (
        f"ossfs-resume: {mount.point}/file: the mount at {mount.point} is dead; mount it again:"
        f" ossfs-resume mount oss://sample {mount.point}\n"
    )


def test_a_mount_that_hangs_hangs_no_command(mount: Mount) -> None:
    os.kill(mount.pid, signal.SIGSTOP)
    try:
        result = run("pin", mount.point / "file", mount.point / "dir")
    finally:
        os.kill(mount.pid, signal.SIGCONT)
    assert result.returncode == 1
    first, second = result.stderr.splitlines()
    assert f"the mount at {mount.point} does not answer; to detach it:" in first
    assert second == f"ossfs-resume: the mount at {mount.point} has not answered before"


def test_nothing_is_set_on_what_lies_below_a_mount_that_is_gone(mount: Mount) -> None:
    from ossfs_resume.cli.mounted import asked
    from ossfs_resume.cli.places import find_all
    from ossfs_resume.errors import MountError

    [place], _ = find_all([str(mount.point)])
    with asked() as mounts:
        assert mounts.at(place).get(place, "key") == b""
        mount.stop()
        with pytest.raises(MountError, match="is not mounted any more"):
            mounts.at(place).set(place, "pin")
    assert os.listxattr(mount.point) == []


def test_many_names_of_a_directory_cost_its_listing_and_not_each_a_request(
    emulator: EmulatorProcess, mount: Mount, tmp_path: Path
) -> None:
    (emulator.directory / "many").mkdir()
    for number in range(100):
        (emulator.directory / f"many/{number}").write_bytes(b"x")
    names = tmp_path / "names"
    names.write_text("\n".join(f"{mount.point}/many/{number}" for number in range(100)))
    before = len(emulator.requests())
    assert run("unpin", "--from-file", names).returncode == 0
    assert len(emulator.requests()) - before < 10
