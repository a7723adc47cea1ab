"""What ``--version`` says: what a report of a defect must name."""

import ctypes
import platform
import sqlite3
from importlib.metadata import PackageNotFoundError, version

from ossfs_resume import __version__

UNKNOWN = "unknown"


def versions() -> str:
    """One line. Imports nothing of what it names but SQLite, which is quick."""
    others = {
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "libfuse": _libfuse(),
        "pyfuse3": _of_package("pyfuse3"),
    }
    named = ", ".join(f"{name} {number}" for name, number in others.items())
    return f"ossfs-resume {__version__} ({named})"


def _of_package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return UNKNOWN


def _libfuse() -> str:
    try:
        tell = ctypes.CDLL("libfuse3.so.3").fuse_pkgversion
    except (OSError, AttributeError):
        return UNKNOWN
    tell.restype = ctypes.c_char_p
    return str(tell().decode())
