"""Looks after the database of the small objects while the store is in use.

One that could not be opened, was removed under us or turned out to be damaged is opened again, or
moved aside and begun anew by whoever is alone with it; the catalogue stays as it is. What eviction
has freed is given back to the disk in steps, between which commits go on.
"""

from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.damaged import open_blobs
from ossfs_resume.cache.folder import StoreFolder
from ossfs_resume.cache.small_objects import Blobs

CLOSED_LOOKS = 5
"""Every so manyth look tries to open what cannot be opened."""

_STEPS = 16
"""Of giving back, in one look: 16 MiB."""


class Upkeep:
    """``look`` does what is needed at this moment. Methods raise OSError and CacheError; the next
    look tries again."""

    def __init__(self, folder: StoreFolder, catalog: Catalog, blobs: Blobs) -> None:
        self._folder = folder
        self._catalog = catalog
        self._blobs = blobs
        self._looks_closed = 0

    def look(self) -> None:
        """Open it if need be, or give back what is free."""
        if not self._catalog.is_open or self._catalog.is_displaced():
            return  # the business of ``renewal``
        if self._must_open():
            with self._folder.opening():
                self.open()
        elif self._blobs.is_usable:
            self._give_back()

    def open(self) -> None:
        """Open what has the name by now; the folder's lock is held."""
        self._blobs.close()
        open_blobs(self._folder, self._blobs)

    def _must_open(self) -> bool:
        blobs = self._blobs
        if not blobs.is_open:
            self._looks_closed += 1
            return self._looks_closed % CLOSED_LOOKS == 0
        if blobs.is_displaced() or blobs.is_limited():
            return True
        return self._folder.is_suspect(blobs.suspect_name) and not self._folder.other_owners()

    def _give_back(self) -> None:
        steps = 0
        while steps < _STEPS and self._blobs.give_back():
            steps += 1
        if steps:
            self._blobs.checkpoint()
