"""The unit is one that systemd takes, and does not hide the mount from the machine."""

import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from support.machine import NO_SYSTEMD

UNIT = Path(__file__).parents[1] / "systemd/ossfs-resume@.service"
PROGRAM = Path(sys.executable).with_name("ossfs-resume")

HIDING = {
    "BindPaths", "BindReadOnlyPaths", "DynamicUser", "InaccessiblePaths", "MountFlags",
    "PrivateDevices", "PrivateIPC", "PrivateMounts", "PrivateTmp", "PrivateUsers",
    "ProtectControlGroups", "ProtectHome", "ProtectHostname", "ProtectKernelLogs",
    "ProtectKernelModules", "ProtectKernelTunables", "ProtectProc", "ProtectSystem",
    "ReadOnlyPaths", "ReadWritePaths", "RootDirectory", "RootImage", "TemporaryFileSystem",
}  # fmt: skip
"""What gives a service a mount namespace of its own (systemd.exec(5))."""
WITHOUT_SETUID = {
    "LockPersonality", "MemoryDenyWriteExecute", "NoNewPrivileges", "RestrictAddressFamilies",
    "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "SystemCallArchitectures",
    "SystemCallFilter", "SystemCallLog",
}  # fmt: skip
"""With which fusermount3 does not work in a unit that has User=."""


def directives() -> set[str]:
    parser = ConfigParser(strict=False, interpolation=None, delimiters=["="])
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    parser.read(UNIT)
    return {key for section in parser.sections() for key in parser[section]}


def test_the_mount_is_seen_by_the_whole_machine() -> None:
    assert directives() & (HIDING | WITHOUT_SETUID) == set()
    assert {"LoadCredential", "TimeoutStopSec", "Restart"} <= directives()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason=NO_SYSTEMD)
def test_systemd_takes_it(tmp_path: Path) -> None:
    unit = tmp_path / "ossfs-resume@sample.service"
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/ossfs-resume", str(PROGRAM)))
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
