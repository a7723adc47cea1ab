"""A mount that cannot be made says why in one line and leaves nothing behind."""

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ossfs_resume.cache import workbench
from support.emulator import EmulatorProcess
from support.mount import Mount

pytestmark = pytest.mark.fuse


def refusal(mount: Mount) -> str:
    """The one line that a failing mount prints."""
    result = mount.run()
    lines = result.stderr.splitlines()
    assert result.returncode == 1, result.stderr
    assert result.stdout == ""
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("ossfs-resume: ")
    assert not os.path.ismount(mount.point)
    return lines[0]


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_wrong_secret(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulator, "access_key_secret", "wrong")
    assert "SignatureDoesNotMatch" in refusal(mounts())


def test_a_wrong_key(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulator, "access_key_id", "nobody")
    assert "InvalidAccessKeyId" in refusal(mounts())


def test_no_key_at_all(mounts: Callable[..., Mount], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmulatorProcess, "environment", {})
    result = mounts().run()
    assert result.returncode == 2
    assert "OSS_ACCESS_KEY_ID" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_wrong_bucket(mounts: Callable[..., Mount]) -> None:
    assert "NoSuchBucket" in refusal(mounts(source="oss://another-bucket"))


def test_a_wrong_region(mounts: Callable[..., Mount]) -> None:
    line = refusal(mounts(options=["--region", "cn-beijing"]))
    assert "region" in line


def test_an_endpoint_where_nobody_listens(mounts: Callable[..., Mount]) -> None:
    url = f"http://127.0.0.1:{unused_port()}"
    line = refusal(mounts(options=["--endpoint", url]))
    assert "--endpoint" in line


def test_one_line_on_a_terminal_without_a_log_file(mounts: Callable[..., Mount]) -> None:
    """It is tried for five seconds; what the log says of that is not for who waits."""
    mount = mounts(options=["--endpoint", f"http://127.0.0.1:{unused_port()}"])
    at = mount.command().index("--log-file")
    result = subprocess.run(
        [*mount.command()[:at], *mount.command()[at + 2 :]],
        env=os.environ | mount.emulator.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert "refused" in line
    assert "--endpoint" in line


def test_a_name_that_does_not_resolve(mounts: Callable[..., Mount]) -> None:
    line = refusal(mounts(options=["--endpoint", "http://oss.nowhere.invalid"]))
    assert "oss.nowhere.invalid" in line
    assert "for a custom domain give --addressing cname" in line


def test_an_endpoint_that_never_answers(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    emulator.faults(hang="all")
    assert "5 s" in refusal(mounts())


def test_a_known_bucket_mounts_although_the_endpoint_is_gone(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    mount = mounts().start()
    mount.stop()
    emulator.kill()
    mount.start()
    assert "warning" in mount.log.read_text().lower()


def test_a_directory_that_is_not_empty(mounts: Callable[..., Mount]) -> None:
    mount = mounts()
    (mount.point / "x").touch()
    assert "not empty" in refusal(mount)


@pytest.mark.parametrize("is_offline", [False, True])
def test_a_mount_that_never_came_about_leaves_nothing_in_the_cache(
    mounts: Callable[..., Mount], is_offline: bool
) -> None:
    refusal(mounts(options=["--offline"] if is_offline else [], source="oss://another"))
    mount = mounts()
    (mount.point / "x").touch()
    refusal(mount)
    assert workbench.identities(mount.cache) == []
    (mount.point / "x").unlink()
    mount.start()
    mount.stop()
    (mount.point / "x").touch()
    refusal(mount)
    assert len(workbench.identities(mount.cache)) == 1


def test_a_directory_that_is_not_there(mounts: Callable[..., Mount]) -> None:
    mount = mounts()
    mount.point.rmdir()
    assert "does not exist" in refusal(mount)


def test_a_place_that_is_mounted_already(mounts: Callable[..., Mount]) -> None:
    mounts().start()
    result = mounts().run()
    assert result.returncode == 1
    assert "already a mount point" in result.stderr


def test_a_machine_without_the_device(mounts: Callable[..., Mount]) -> None:
    mount = mounts()
    hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev && exec "$@"', "sh"]
    result = subprocess.run(
        [*hidden, *mount.command()],
        env=os.environ | mount.emulator.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "/dev/fuse does not exist" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--part-size", "100"], "--part-size"),
        (["-o", "colour=red"], "colour"),
        (["--endpoint", "ftp://x"], "--endpoint"),
        (["--cache-dir", "/proc/nowhere"], "/proc"),
    ],
)
def test_a_setting_that_makes_no_sense(
    mounts: Callable[..., Mount], options: list[str], complaint: str
) -> None:
    result = mounts(options=options).run()
    assert result.returncode in (1, 2)
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_secret_is_nowhere(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], tmp_path: Path
) -> None:
    mount = mounts(options=["--log-level", "debug"], is_forked=False).start()
    os.listdir(mount.point)
    places = [
        Path(f"/proc/{mount.pid}/cmdline").read_text(),
        mount.log.read_text(),
        str(mount.statistics()),
        *(path.read_bytes().decode("latin-1") for path in mount.cache.rglob("*.sqlite3*")),
    ]
    assert [place for place in places if emulator.access_key_secret in place] == []
