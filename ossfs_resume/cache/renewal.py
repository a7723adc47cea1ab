"""Begins anew when the cache directory was removed under the store, or when its disk allows more.

A catalogue that was removed or replaced is one that nobody else will ever see. Everything that was
loaded from it is superseded: what is open can still be read through its descriptor, and nothing is
added to it. What is acquired from then on stands on the file that has the name by now. Row ids
begin anew with another catalogue, so nothing that is remembered by row may outlive the change.

A catalogue that was opened on a read-only disk, or could not be opened at all, is opened again when
that is over; it is the same one, and everything that stands on it stays.
"""

import logging
import threading
from collections.abc import Callable

from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.folder import StoreFolder
from ossfs_resume.cache.part_locks import Claims
from ossfs_resume.cache.table import EntryTable
from ossfs_resume.cache.trust import Trust

_log = logging.getLogger(__name__)

REMOVAL_LOOKS = 5
"""How many looks a directory without a catalogue may go on to exist before it is used anew."""

CLOSED_LOOKS = 5
"""Every so manyth look tries to open what cannot be opened: readers wait while it does."""


class Renewal:
    """``opening`` is the lock of those who load entries; ``begun`` is called, with it held, when
    another catalogue has taken the place of the old one."""

    def __init__(
        self,
        folder: StoreFolder,
        catalog: Catalog,
        table: EntryTable,
        trust: Trust,
        claims: Claims,
        opening: threading.Condition,
        begun: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._catalog = catalog
        self._table = table
        self._trust = trust
        self._claims = claims
        self._opening = opening
        self._begun = begun
        self._looks_in_vain = 0
        self._looks_closed = 0

    def look(self) -> None:
        """Renew what has to be renewed. Raises OSError or CacheError; all is as before then, and
        the next look tries again."""
        is_displaced, is_open = self._catalog.is_displaced(), self._catalog.is_open
        if is_open and not is_displaced and not self._catalog.is_limited():
            self._folder.make_data()
            return
        if (is_displaced and self._is_being_removed()) or not (is_open or self._is_due()):
            return
        with self._opening, self._folder.renewed():
            if is_displaced:
                self._forget_all()
            self._catalog.reopen()
            self._claims.reopen()
            if is_displaced or not is_open:
                self._begun()
        if is_displaced:
            _log.warning("%s was removed or replaced; the cache begins anew", self._folder.path)
        else:
            _log.info("the cache in %s takes new data again", self._folder.path)

    def _is_due(self) -> bool:
        """Whether to try again now what could not be opened."""
        self._looks_closed += 1
        return self._looks_closed % CLOSED_LOOKS == 0

    def _is_being_removed(self) -> bool:
        """Whether to give somebody time: an ``rm -r`` fails if names appear under its hands."""
        if self._folder.catalog.exists():
            return False
        self._looks_in_vain += 1
        if self._looks_in_vain <= (REMOVAL_LOOKS if self._folder.path.exists() else 1):
            return True
        self._looks_in_vain = 0
        return False

    def _forget_all(self) -> None:
        for entry in self._table.entries():
            self._table.hide(entry)
            entry.progress.supersede()
        self._trust.memory.clear()
