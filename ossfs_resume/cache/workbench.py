"""A store opened for tools: its catalogue and files, without the threads that serve a mount.

Safe beside living mounts: whoever works here is an owner like them, files in use are locked by
their users, and rows are changed before files.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ossfs_resume.cache.ballast import Ballast
from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.damaged import open_blobs, require_catalog
from ossfs_resume.cache.data_file import DataFile, DataFolder
from ossfs_resume.cache.eviction import Limits
from ossfs_resume.cache.failure import LockedOut, translated
from ossfs_resume.cache.folder import CATALOG_NAME, StoreFolder
from ossfs_resume.cache.freeing import Freeing
from ossfs_resume.cache.keeper import Keeper
from ossfs_resume.cache.removal import Removal
from ossfs_resume.cache.small_objects import Blobs
from ossfs_resume.cache.space import Reclaimer
from ossfs_resume.cache.storage import Storage, Storages
from ossfs_resume.cache.table import EntryTable
from ossfs_resume.errors import CacheError

_KEPT = ("lock", "owners")


@dataclass(frozen=True, slots=True)
class Workbench:
    """One store. ``owners`` is how many other processes have it open."""

    identity: str
    catalog: Catalog
    blobs: Blobs
    data: DataFolder
    keeper: Keeper
    owners: int
    damage: str = ""
    """Why the small objects cannot be had."""
    begin_blobs: Callable[[], None] = lambda: None
    """Move small objects that are damaged aside and begin new ones. Raises CacheError."""

    @property
    def storages(self) -> Storages:
        """Where the bytes of its entries are."""
        return Storages(self.blobs, partial(DataFile, self.data))

    def storage(self, row_id: int, suffix: str, size: int) -> Storage:
        """Where the bytes of a row are."""
        return self.storages.of_row(row_id, suffix, size)


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
    blobs = Blobs(folder.blobs, lambda: is_shared or bool(folder.other_owners()))
    with translated(f"open the cache in {directory}"), folder.opening():
        require_catalog(folder)
        folder.forget_dead_owners()
        owners = folder.other_owners()
        folder.register_owner()
        try:
            folder.make_data()
            catalog.open()
            damage = _opened_blobs(folder, blobs)
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
        bench = _assembled(folder, catalog, blobs, len(owners))
        yield replace(bench, damage=damage, begin_blobs=partial(_begin_blobs, folder, blobs))
    finally:
        blobs.close()
        catalog.close()
        folder.unregister_owner()


def _opened_blobs(folder: StoreFolder, blobs: Blobs) -> str:
    """Open them if there are any; why they cannot be opened."""
    try:
        if folder.blobs.exists():
            blobs.open()
    except (OSError, CacheError) as error:
        return str(error)
    return ""


def _begin_blobs(folder: StoreFolder, blobs: Blobs) -> None:
    with translated(f"renew {folder.blobs}"), folder.opening():
        blobs.close()
        open_blobs(folder, blobs)


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


def _assembled(folder: StoreFolder, catalog: Catalog, blobs: Blobs, owners: int) -> Workbench:
    data, table = DataFolder(lambda: folder.data), EntryTable()

    storages = Storages(blobs, partial(DataFile, data))
    removal = Removal(catalog, table, storages, threading.Condition(), lambda entry: None)
    reclaimer = Reclaimer(
        catalog,
        table,
        Freeing(catalog, table, removal, Ballast(lambda: folder.directory), lambda: None),
        Limits(),
        lambda: os.statvfs(folder.path),
    )
    keeper = Keeper(catalog, reclaimer)
    return Workbench(folder.path.name, catalog, blobs, data, keeper, owners)
