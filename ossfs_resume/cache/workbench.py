"""A store opened for tools: its catalogue and files, without the threads that serve a mount.

Safe beside living mounts: whoever works here is an owner like them, files in use are locked by
their users, and rows are changed before files.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ossfs_resume.cache.ballast import Ballast
from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.damaged import require_catalog
from ossfs_resume.cache.datafile import DataFile
from ossfs_resume.cache.datafolder import DataFolder
from ossfs_resume.cache.eviction import Limits
from ossfs_resume.cache.failure import LockedOut, translated
from ossfs_resume.cache.folder import CATALOG_NAME, StoreFolder
from ossfs_resume.cache.freeing import Freeing
from ossfs_resume.cache.keeper import Keeper
from ossfs_resume.cache.reclaim import Reclaimer
from ossfs_resume.cache.removal import Removal
from ossfs_resume.cache.table import EntryTable
from ossfs_resume.errors import CacheError

_KEPT = ("lock", "owners")


@dataclass(frozen=True, slots=True)
class Workbench:
    """One store. ``owners`` is how many other processes have it open."""

    identity: str
    catalog: Catalog
    data: DataFolder
    keeper: Keeper
    owners: int

    def data_file(self, row_id: int, suffix: str, size: int) -> DataFile:
        """The data file of a row."""
        return DataFile(self.data, row_id, suffix, size)


def identities(directory: Path) -> list[str]:
    """The stores in a cache directory, none if it does not exist. Raises CacheError."""
    with translated(f"look into {directory}"):
        try:
            found = [path.name for path in directory.iterdir() if (path / CATALOG_NAME).exists()]
        except FileNotFoundError:
            return []
    return sorted(found)


@contextmanager
def opened(directory: Path, identity: str, *, is_shared: bool = False) -> Iterator[Workbench]:
    """An existing store. Raises CacheError (DamagedCatalog); nothing is repaired or moved.

    ``is_shared``: others may come to it at any time, for it may stay open for long.
    """
    folder = StoreFolder(directory, identity)
    catalog = Catalog(folder.catalog, lambda: is_shared or bool(folder.other_owners()))
    with translated(f"open the cache in {directory}"), folder.opening():
        require_catalog(folder)
        folder.forget_dead_owners()
        owners = folder.other_owners()
        folder.register_owner()
        try:
            folder.make_data()
            catalog.open()
        except LockedOut as error:
            folder.unregister_owner()
            held_by = ", ".join(str(pid) for pid in owners if pid) or "another process"
            raise CacheError(
                f"the cache in {folder.path} is in use by a process that does not answer"
                f" ({held_by}); end it, or try again when it goes on"
            ) from error
        except BaseException:
            folder.unregister_owner()
            raise
    try:
        yield _assembled(folder, catalog, len(owners))
    finally:
        catalog.close()
        folder.unregister_owner()


def clear(directory: Path, identity: str) -> bool:
    """Remove all of a store that nobody has open, pins and jobs too; False if somebody has.

    Raises CacheError.
    """
    # A crash half-way must leave no catalogue over data that are not there.
    with _moved_aside(directory, identity) as (folder, aside):
        if aside is not None:
            for name in folder.directory.names():
                if name not in _KEPT:
                    folder.directory.remove(name)
    return aside is not None


def move_aside(directory: Path, identity: str) -> Path | None:
    """Put catalogue and data of a store away and return where to; None if somebody has it open.

    Raises CacheError.
    """
    with _moved_aside(directory, identity) as (_, aside):
        return aside


@contextmanager
def _moved_aside(directory: Path, identity: str) -> Iterator[tuple[StoreFolder, Path | None]]:
    with translated(f"clear the cache in {directory}"):
        folder = StoreFolder(directory, identity)
        with folder.opening():
            folder.forget_dead_owners()
            yield folder, None if folder.other_owners() else folder.move_aside()


def _assembled(folder: StoreFolder, catalog: Catalog, owners: int) -> Workbench:
    data, table = DataFolder(lambda: folder.data), EntryTable()

    def make_file(row_id: int, suffix: str, size: int) -> DataFile:
        return DataFile(data, row_id, suffix, size)

    removal = Removal(catalog, table, make_file, threading.Condition(), lambda entry: None)
    reclaimer = Reclaimer(
        catalog,
        table,
        Freeing(catalog, table, removal, Ballast(lambda: folder.directory), lambda: None),
        Limits(),
        lambda: os.statvfs(folder.path),
    )
    keeper = Keeper(catalog, reclaimer)
    return Workbench(folder.path.name, catalog, data, keeper, owners)
