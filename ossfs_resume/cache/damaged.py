"""What becomes of a catalogue that cannot be read: it is moved aside, with its data.

Without its catalogue the data say nothing, so the store begins anew. Nothing is thrown away, and
nothing is moved under the hands of another process.
"""

import logging

from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.database import DamagedCatalog
from ossfs_resume.cache.folder import StoreFolder
from ossfs_resume.errors import CacheError

_log = logging.getLogger(__name__)


def open_catalog(folder: StoreFolder) -> Catalog:
    """The catalogue of a folder that nobody else opens or renews meanwhile, new if need be.

    Raises CacheError if it is damaged and in use or on a read-only disk, OSError.
    """
    others = folder.other_owners()
    folder.prepare()
    try:
        return Catalog(folder.catalog)
    except DamagedCatalog as error:
        if others:
            raise CacheError(f"{error}; it is left alone, for another mount uses it") from error
        if folder.is_read_only:
            raise
        _log.error("%s; it is moved to %s, with its data", error, folder.move_aside())
    folder.prepare()
    return Catalog(folder.catalog)
