"""A bucket may hold any date; its directories are listed, kept and read all the same."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount
from support.objects import write

pytestmark = pytest.mark.fuse

FAR_S = 15_000_000_000
"""In the year 2445; nanoseconds in 64 bits end in 2262."""


@pytest.fixture
def bucket(emulator: EmulatorProcess) -> Path:
    """A file and the marker of a directory from the far future, and a file in it from today."""
    directory = emulator.directory
    write(directory / "far", b"far away")
    write(directory / "sub/near", b"near")
    marker = directory / ".ossfs-emulator/keys/sub%2F"
    write(marker, b"")
    for path in (directory / "far", marker):
        os.utime(path, (FAR_S, FAR_S))
    return directory


def test_a_date_beyond_all_clocks_harms_nobody(bucket: Path, mounts: Callable[..., Mount]) -> None:
    mount = mounts(options=["--metadata-ttl", "0.1"]).start()
    for _ in range(2):
        assert sorted(os.listdir(mount.point)) == ["far", "sub"]
        assert os.listdir(mount.point / "sub") == ["near"]
        assert (mount.point / "far").read_bytes() == b"far away"
        assert (mount.point / "sub/near").read_bytes() == b"near"
        for name in ("far", "sub"):
            assert os.stat(mount.point / name).st_mtime > os.stat(bucket / "sub/near").st_mtime
        mount.stop()  # what was listed is written into the catalogue, at the latest
        assert "Traceback" not in mount.log.read_text()
        mount.start()
