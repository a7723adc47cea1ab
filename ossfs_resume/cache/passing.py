"""Entries of objects that are not kept: their bytes pass through memory, and nothing is on a disk.

For those who can have all of an object in memory at once, or need each byte once only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.data_file import DataFile, DataFolder
from ossfs_resume.cache.directory import Directory
from ossfs_resume.cache.entry import Entry
from ossfs_resume.cache.loading import Loader
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.small_objects import Blobs
from ossfs_resume.cache.storage import Storages
from ossfs_resume.cache.trust import Trust
from ossfs_resume.errors import CacheError


class Passing:
    """Makes entries that nothing can be written to, in parts of ``part_size``. Memory only."""

    def __init__(self, part_size: int) -> None:
        folder = DataFolder(_nowhere)

        def make_file(row_id: int, suffix: str, size: int) -> DataFile:
            return DataFile(folder, row_id, suffix, size)

        self._loader = Loader(
            Catalog(Path("nowhere")),  # never opened
            Storages(Blobs(Path("nowhere"), lambda: False), make_file),
            part_size,
            Trust(lambda: (), lambda versions: None),
            lambda entry, written: None,
            _no_room,
        )

    def entry(self, version: ObjectVersion) -> Entry:
        """One for a single holder, who need not release it."""
        return self._loader.detached(version)


def _nowhere() -> Directory:
    raise CacheError("nothing of this object is kept")


@contextmanager
def _no_room(size: int) -> Iterator[None]:
    raise CacheError(f"{size} bytes are not kept")
    yield
