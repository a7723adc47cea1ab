"""The demonstration of the README ends when its user says so, and takes everything along."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ossfs_resume.fuse.mounts import mounts

pytestmark = pytest.mark.fuse

PROGRAM = Path(__file__).parents[2] / "scripts/demo.py"


def start(place: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, PROGRAM, "--size", "64", *arguments],
        env=os.environ | {"TMPDIR": str(place)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_the_first_interrupt_ends_it_and_nothing_stays(tmp_path: Path) -> None:
    with start(tmp_path, "--size", "1024") as demo:
        assert demo.stdout is not None
        while "copied" not in (line := demo.stdout.readline()):
            assert line, "it has ended by itself"
        os.killpg(demo.pid, signal.SIGINT)  # as a terminal does
        rest = demo.stdout.read()
    assert demo.returncode == 130
    assert rest.splitlines()[-1] == "Interrupted; everything is cleaned up."
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []
    assert [one for one in mounts() if one.mountpoint.startswith(str(tmp_path))] == []


def test_to_its_end_with_a_picture(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    picture = tmp_path / "picture.svg"
    with start(tmp_path / "place", "--picture", picture) as demo:
        assert demo.stdout is not None
        text = demo.stdout.read()
    assert demo.returncode == 0, text
    assert "Copy and original are identical" in text
    assert list((tmp_path / "place").iterdir()) == []
    drawing = picture.read_text()
    assert "kill -9" in drawing
    assert "mounted again" in drawing
