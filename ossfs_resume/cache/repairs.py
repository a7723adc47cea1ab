"""Hears what ``cache check --repair`` of another process found bad in versions that are used here.

This process may have written those bytes itself and trust them, and the kernel may have taken pages
from them. So every part of such a version is checked again before its next use, and whoever has
copies is told.
"""

from collections.abc import Callable, Sequence

from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.table import EntryTable
from ossfs_resume.cache.trust import Trust
from ossfs_resume.errors import CacheError


class Repairs:
    """``found_bad`` is called, from any thread, with the versions."""

    def __init__(
        self,
        catalog: Catalog,
        table: EntryTable,
        trust: Trust,
        found_bad: Callable[[Sequence[ObjectVersion]], None],
    ) -> None:
        self._catalog = catalog
        self._table = table
        self._trust = trust
        self._found_bad = found_bad
        self._heard = _last(catalog)

    def look(self) -> None:
        """Hear what is new. Raises CacheError."""
        if self._catalog.last_repair() < self._heard:
            self._heard = 0  # another catalogue
        news = self._catalog.repairs(self._heard)
        if not news:
            return
        self._trust.memory.clear()
        versions = list(dict.fromkeys(news.values()))
        for version in versions:
            if (entry := self._table.find(version)) is not None:
                entry.progress.doubt()
        self._found_bad(versions)
        self._heard = max(news)


def _last(catalog: Catalog) -> int:
    """What was found before this process had anything needs no hearing."""
    try:
        return catalog.last_repair()
    except CacheError:
        return 0
