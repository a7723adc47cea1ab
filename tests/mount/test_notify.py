"""A mount in the foreground tells its service manager when it serves and when it stops."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ossfs_resume.cli.notify import notify
from support.emulator import EmulatorProcess
from support.mount import Mount
from support.waiting import PATIENCE_S

pytestmark = pytest.mark.fuse


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address.replace("@", "\0", 1))
        listening.settimeout(PATIENCE_S)
        yield listening


def message(listening: socket.socket) -> dict[str, str]:
    lines = listening.recv(4096).decode().split("\n")
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("abstract", [False, True])
def test_ready_and_stopping(tmp_path: Path, emulator: EmulatorProcess, abstract: bool) -> None:
    (emulator.directory / "file").write_bytes(b"content")
    mount = Mount(emulator, tmp_path, options=["--foreground"])
    address = f"@ossfs-resume-{os.getpid()}" if abstract else str(tmp_path / "notify")
    what = f"oss://{emulator.bucket} on {mount.point}"
    environment = os.environ | emulator.environment | {"NOTIFY_SOCKET": address}
    with (
        manager(address) as listening,
        subprocess.Popen(mount.command(), env=environment) as process,
    ):
        try:
            assert message(listening) == {"READY": "1", "STATUS": f"mounted {what}"}
            assert (mount.point / "file").read_bytes() == b"content"
            process.send_signal(signal.SIGTERM)
            assert message(listening) == {"STOPPING": "1", "STATUS": f"unmounting {what}"}
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
    assert not os.path.ismount(mount.point)


def test_without_a_manager_nothing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for address in ("", "vsock:1:2", str(tmp_path / "gone")):
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        notify(READY="1")


def test_a_status_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A name cannot tell the manager anything of its own."""
    address = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with manager(address) as listening:
        notify(STATUS="mounted a\nMAINPID=1\udcff")
        assert message(listening) == {"STATUS": "mounted a MAINPID=1\\udcff"}
