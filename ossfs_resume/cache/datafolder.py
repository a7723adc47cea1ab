"""Where data files lie, and how they are named: ``<row & 0xff>/<row>-<suffix>.<segment>``.

Spread over 256 folders by row, so that none of them gets long. Stores that exist are found by these
names; they may not change.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ossfs_resume.cache.directory import Directory, walk


class FoundFile(NamedTuple):
    """A data file: row id and suffix as its name tells them, its directory, and its name there."""

    row_id: int
    suffix: str
    directory: Directory
    name: str


class DataFolder:
    """The folder with all data files; ``current`` says which it is by now, or raises CacheError."""

    def __init__(self, current: Callable[[], Directory]) -> None:
        self.current = current
        self.supports_nowait = True
        """False once the file system refused RWF_NOWAIT (tmpfs, overlayfs before Linux 6.x)."""

    def listing(self) -> Iterator[list[FoundFile]]:
        """Every data file, one list for each folder.

        Names that no data file can have are left out. Raises OSError, CacheError.
        """
        for folder in walk(self.current()):
            yield [found for name in folder.names() if (found := _parsed(folder, name))]


def folder_name(row_id: int) -> str:
    """The folder in which the data file of a row lies."""
    return f"{row_id & 0xFF:02x}"


def _parsed(directory: Directory, name: str) -> FoundFile | None:
    stem, _, segment = name.partition(".")
    row_id, _, suffix = stem.partition("-")
    if row_id.isdecimal() and suffix and segment.isdecimal():
        return FoundFile(int(row_id), suffix, directory, name)
    return None
