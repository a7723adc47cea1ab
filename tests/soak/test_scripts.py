"""The scripts of `scripts/soak` run to their end, and no fault that they must see is there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.machine import NO_FIO
from support.sick_disks import missing

pytestmark = pytest.mark.fuse

ROOT = Path(__file__).parent.parent.parent


def soak(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts" / "soak", *arguments, "--seed", "1"],
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(bool(missing("ext4")), reason=missing("ext4"))
def test_a_disk_that_is_filled_under_a_mount() -> None:
    result = soak("disks", "--kinds", "ext4", "--troubles", "filled", "--quick")
    steps = re.findall(r"ext4 +(.*?) +(?:ok|FAULT) +[0-9.]+ MiB compared", result.stdout)
    assert len(steps) == 2, result.stdout + result.stderr
    assert not re.search("wrong bytes|the mount died|it runs on", result.stdout), result.stdout


def test_a_moment_of_stress() -> None:
    result = soak("stress", "--minutes", "0.1", "--readers", "11")
    assert re.search(r"^\d+ faults$", result.stdout, re.M), result.stdout + result.stderr
    assert not re.search("wrong bytes|dead mount|stuck", result.stdout), result.stdout


@pytest.mark.skipif(not shutil.which("fio"), reason=NO_FIO)
def test_a_moment_of_fio() -> None:
    result = soak("fio", "--minutes", "0.1")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "that one was made on purpose" in result.stdout
    assert "\n0 faults\n" in result.stdout
