"""What ``--version`` says: what a report of a defect must name."""

import ctypes
import sqlite3
import sys
from importlib.util import find_spec
from pathlib import Path

from ossfs_resume import __version__

UNKNOWN = "unknown"


def versions() -> str:
    """One line. Imports nothing of what it names but SQLite, which is quick."""
    others = {
        "Python": sys.version.split()[0],
        "SQLite": sqlite3.sqlite_version,
        "libfuse": _libfuse(),
        "pyfuse3": _of_package("pyfuse3"),
    }
    named = ", ".join(f"{name} {number}" for name, number in others.items())
    return f"ossfs-resume {__version__} ({named})"


def _of_package(name: str) -> str:
    """By the folder that pip has left beside it: `importlib.metadata` takes as long as all else."""
    module = find_spec(name)
    if module is None or module.origin is None:
        return UNKNOWN
    beside = Path(module.origin).parent
    folders = [*beside.glob(f"{name}-*-info"), *beside.parent.glob(f"{name}-*-info")]
    return folders[0].stem.removeprefix(f"{name}-") if folders else UNKNOWN


def _libfuse() -> str:
    try:
        tell = ctypes.CDLL("libfuse3.so.3").fuse_pkgversion
    except (OSError, AttributeError):
        return UNKNOWN
    tell.restype = ctypes.c_char_p
    return str(tell().decode())
