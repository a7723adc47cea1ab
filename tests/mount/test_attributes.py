"""Extended attributes start downloads and tell the truth about them."""

import errno
import json
import os
import subprocess
from collections.abc import Callable

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount
from support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.fuse

MIB = 1 << 20


def materialize(mount: Mount, path: str) -> None:
    command = ["setfattr", "-n", "user.ossfs.materialize", "-v", "1", mount.point / path]
    subprocess.run(command, check=True, timeout=PATIENCE_S)


def test_a_file_is_remote_then_partial_then_verified(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    (emulator.directory / "file").write_bytes(os.urandom(3 * MIB + 5))
    mount = mounts(options=["--read-ahead", "0"]).start()
    assert mount.attribute("file", "state") == "remote"
    assert mount.attribute("file", "progress") == "0/13 parts 0.0%"
    with (mount.point / "file").open("rb", buffering=0) as file:
        file.seek(2 * MIB)
        file.read(1)
    assert mount.attribute("file", "state") == "partial"
    (mount.point / "file").read_bytes()
    assert mount.attribute("file", "state") == "verified"
    assert mount.attribute("file", "progress") == "13/13 parts 100.0%"


def test_materialize_returns_at_once_and_progress_grows_with_st_blocks(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    data = os.urandom(16 * MIB)
    (emulator.directory / "file").write_bytes(data)
    mount = mounts().start()
    emulator.faults(hang="data")
    materialize(mount, "file")
    eventually(lambda: mount.attribute("file", "state") == "fetching")
    emulator.faults(total_bytes_per_s=8e6)
    seen: list[tuple[int, int]] = []

    def is_done() -> bool:
        status = json.loads(mount.attribute("file", "status"))
        blocks = (mount.point / "file").stat().st_blocks * 512
        seen.append((status["bytes_present"], blocks))
        return bool(status["state"] == "verified")

    eventually(is_done)
    present = [bytes_present for bytes_present, _ in seen]
    assert present == sorted(present)
    assert len(set(present)) > 3
    eventually(lambda: (mount.point / "file").stat().st_blocks * 512 == 16 * MIB)
    emulator.kill()
    assert (mount.point / "file").read_bytes() == data


def test_materialize_of_a_directory_fetches_everything_below(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    names = [f"dir/{i}/{j}" for i in range(3) for j in range(4)]
    for name in names:
        (emulator.directory / name).parent.mkdir(parents=True, exist_ok=True)
        (emulator.directory / name).write_bytes(name.encode() * 50_000)
    (emulator.directory / "other").write_bytes(b"x" * 1000)
    mount = mounts().start()
    materialize(mount, "dir")
    eventually(lambda: {mount.attribute(name, "state") for name in names} == {"verified"})
    assert mount.attribute("other", "state") == "remote"


def test_a_job_goes_on_after_a_kill(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    (emulator.directory / "file").write_bytes(os.urandom(8 * MIB))
    mount = mounts().start()
    emulator.faults(total_bytes_per_s=2e6)
    materialize(mount, "file")
    eventually(lambda: not mount.attribute("file", "progress").startswith("0/"))
    mount.kill()
    emulator.faults()
    mount.start()
    eventually(lambda: mount.attribute("file", "state") == "verified")


def test_cancel_ends_a_job_and_keeps_what_arrived(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    (emulator.directory / "file").write_bytes(os.urandom(64 * MIB))
    mount = mounts().start()
    emulator.faults(total_bytes_per_s=8e6)
    materialize(mount, "file")
    eventually(lambda: not mount.attribute("file", "progress").startswith("0/"))
    os.setxattr(mount.point / "file", "user.ossfs.cancel", b"1")
    eventually(lambda: mount.attribute("file", "state") == "partial")


def test_what_a_listing_knows_can_be_asked(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    (emulator.directory / "dir").mkdir()
    (emulator.directory / "dir/file").write_bytes(b"content")
    mount = mounts().start()
    assert mount.attribute("dir/file", "key") == "dir/file"
    assert mount.attribute("dir", "key") == "dir/"
    assert len(mount.attribute("dir/file", "etag")) == 32
    assert mount.attribute("dir/file", "storage-class") == "Standard"
    assert mount.statistics()["source"] == "oss://sample"


def test_names_that_are_not_there(emulator: EmulatorProcess, mounts: Callable[..., Mount]) -> None:
    (emulator.directory / "file").write_bytes(b"x")
    mount = mounts().start()
    for name, number in [
        ("user.ossfs.unknown", errno.ENODATA),
        ("user.other", errno.ENODATA),
        ("user.ossfs.error", errno.ENODATA),
        ("user.ossfs.stats", errno.ENODATA),
        ("security.selinux", errno.ENOTSUP),
        ("system.posix_acl_access", errno.ENOTSUP),
    ]:
        with pytest.raises(OSError) as caught:
            os.getxattr(mount.point / "file", name)
        assert caught.value.errno == number, name


def test_a_bad_value_is_refused_and_nothing_is_listed(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    (emulator.directory / "file").write_bytes(b"x")
    mount = mounts().start()
    for path, name, value, number in [
        ("file", "user.ossfs.materialize", b"yes", errno.EINVAL),
        ("file", "user.ossfs.unknown", b"1", errno.ENODATA),
        ("file", "security.x", b"1", errno.ENOTSUP),
    ]:
        with pytest.raises(OSError) as caught:
            os.setxattr(mount.point / path, name, value)
        assert caught.value.errno == number
    assert os.listxattr(mount.point / "file") == []
    assert os.listxattr(mount.point) == []


def test_why_a_download_fails_is_told(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    (emulator.directory / "file").write_bytes(b"x" * MIB)
    mount = mounts().start()
    os.listdir(mount.point)
    emulator.faults(fail_every=1, fail_status=403, fail_code="AccessDenied", kinds=["get"])
    materialize(mount, "file")
    eventually(lambda: mount.attribute("file", "state") == "failed")
    assert "AccessDenied" in mount.attribute("file", "error")
    with pytest.raises(OSError) as caught:
        (mount.point / "file").read_bytes()
    assert caught.value.errno == errno.EACCES
    emulator.faults()
    materialize(mount, "file")
    eventually(lambda: mount.attribute("file", "state") == "verified")


def test_a_paused_job_waits_over_a_kill_until_it_is_resumed(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    (emulator.directory / "dir").mkdir()
    (emulator.directory / "dir/file").write_bytes(os.urandom(8 * MIB))
    mount = mounts().start()
    emulator.faults(total_bytes_per_s=2e6)
    materialize(mount, "dir")
    # A directory's attributes are the catalogue's, which the kill leaves as it is.
    eventually(lambda: json.loads(mount.attribute("dir", "status"))["bytes_present"])
    os.setxattr(mount.point / "dir", "user.ossfs.pause", b"1")
    mount.kill()
    emulator.faults()
    mount.start()
    assert mount.attribute("dir/file", "state") == "paused"
    requests = len(emulator.requests("get"))
    assert json.loads(mount.attribute("dir", "job"))["state"] == "paused"
    with pytest.raises(OSError) as caught:  # its job is its directory's
        os.setxattr(mount.point / "dir/file", "user.ossfs.resume", b"1")
    assert caught.value.errno == errno.EBUSY
    assert mount.attribute("dir/file", "state") == "paused"
    assert len(emulator.requests("get")) == requests
    os.setxattr(mount.point, "user.ossfs.resume", b"1")
    eventually(lambda: mount.attribute("dir/file", "state") == "verified")
    job = json.loads(mount.attribute("dir", "job"))
    assert (job["state"], job["bytes"], job["total_bytes"]) == ("done", 8 * MIB, 8 * MIB)
    assert 0 < job["reused_bytes"] < 8 * MIB
