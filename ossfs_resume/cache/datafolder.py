"""Where data files lie, and how they are named: ``<row & 0xff>/<row>-<suffix>.<segment>``.

Spread over 256 folders by row, so that none of them gets long. Stores that exist are found by these
names; they may not change.
"""

from collections.abc import Iterator
from pathlib import Path


class DataFolder:
    """The folder with all data files, spread over 256 folders by row."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.supports_nowait = True
        """False once the file system refused RWF_NOWAIT (tmpfs, overlayfs before Linux 6.x)."""

    def folder_of(self, row_id: int) -> Path:
        """Where the data file of a row lies."""
        return self.path / f"{row_id & 0xFF:02x}"

    def listing(self) -> Iterator[list[tuple[int, str, Path]]]:
        """Row id, suffix and path of every data file, one list for each folder.

        Names that no data file can have are left out.
        """
        for folder in sorted(self.path.iterdir()):
            if folder.is_dir():
                yield [found for path in folder.iterdir() if (found := _parsed(path))]


def _parsed(path: Path) -> tuple[int, str, Path] | None:
    stem, _, segment = path.name.partition(".")
    row_id, _, suffix = stem.partition("-")
    if row_id.isdecimal() and suffix and segment.isdecimal():
        return int(row_id), suffix, path
    return None
