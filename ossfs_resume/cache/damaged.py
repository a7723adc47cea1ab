"""What becomes of a catalogue that cannot be read or was lost: it is moved aside, with its data.

Without its catalogue the data say nothing, so the store begins anew. Nothing is thrown away, and
nothing is moved under the hands of another process. Damage deep inside shows only in use; then the
catalogue is marked, and looked through the next time that somebody opens it and is alone with it.
"""

import logging
from contextlib import suppress

from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.database import Database
from ossfs_resume.cache.failure import DamagedCatalog
from ossfs_resume.cache.folder import StoreFolder
from ossfs_resume.cache.small_objects import Blobs
from ossfs_resume.errors import CacheError

_log = logging.getLogger(__name__)


def open_catalog(folder: StoreFolder, catalog: Catalog) -> None:
    """Open the catalogue of a folder that nobody else opens or renews meanwhile, new if need be.

    Raises CacheError if it is damaged and in use or on a read-only disk, LockedOut if another
    process does not let go of it, OSError.
    """
    folder.forget_dead_owners()
    others = folder.other_owners()
    folder.prepare()
    try:
        require_catalog(folder)
        _open(folder, catalog, is_alone=not others)
    except DamagedCatalog as error:
        if others:
            raise CacheError(f"{error}; it is left alone, for another mount uses it") from error
        if folder.is_read_only:
            raise
        _log.error("%s; it is moved to %s, with its data", error, folder.move_aside())
        folder.prepare()
        catalog.open()


def open_blobs(folder: StoreFolder, blobs: Blobs) -> None:
    """Open the small objects of a folder whose catalogue is open, under the same lock; damaged ones
    are moved aside by whoever is alone with them, and new ones begun: the catalogue's rows of what
    was lost are cleared by ``leftovers``, or when somebody reads them.

    Raises CacheError, OSError: then the store goes on without them.
    """
    is_alone = not (folder.other_owners() or folder.is_read_only)
    folder.prepare()
    try:
        _open(folder, blobs, is_alone=is_alone)
    except DamagedCatalog as error:
        if not is_alone:
            raise
        _log.error("%s; it is moved to %s", error, folder.move_blobs_aside())
        folder.prepare()
        blobs.open()


def require_catalog(folder: StoreFolder) -> None:
    """Raise DamagedCatalog if it is empty although there are data, which a new one would disown."""
    if folder.has_lost_catalog():
        raise DamagedCatalog(f"the catalogue {folder.catalog} is empty, but there are data")


def _open(folder: StoreFolder, database: Database, *, is_alone: bool) -> None:
    database.open()
    name = database.suspect_name
    if is_alone and not folder.is_read_only and folder.is_suspect(name):
        try:
            _require_integrity(database)
        except CacheError:
            with suppress(CacheError):
                database.close()
            raise
        folder.clear_suspicion(name)


def _require_integrity(database: Database) -> None:
    if found := database.integrity():
        raise DamagedCatalog(f"the {database.noun} is damaged: {found[0]}")
