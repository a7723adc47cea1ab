"""Where the threads of a mount are that does not do what it should."""

import os
import signal
from pathlib import Path

from support.waiting import eventually


def environment(path: Path) -> dict[str, str]:
    """What a mount must be started with so that `of` can ask it; ``path`` is a file of its own."""
    own = str(Path(__file__).parent)
    return {
        "PYTHONPATH": os.pathsep.join([own, os.environ.get("PYTHONPATH", "")]),
        "SOAK_STACKS": str(path),
    }


def of(pid: int, path: Path) -> list[str]:
    """The innermost lines of our own of each thread, most recent call first."""
    before = path.stat().st_size if path.exists() else 0
    os.kill(pid, signal.SIGRTMIN)
    eventually(lambda: path.exists() and path.read_text()[before:].count("Current thread"))
    threads = path.read_text()[before:].split("\n\n")
    return [line for thread in threads for line in _lines(thread)]


def _lines(thread: str) -> list[str]:
    lines = thread.strip().splitlines()
    return lines[:1] + [line for line in lines if "/ossfs_resume/" in line][:6]
