"""Makes an entry of what the catalogue has of a version.

The row is read, then the file is opened (the bytes of a small object are read), then the row is
read again: only if it is still the same one has no other process removed the file in between, and
none can from then on. Whoever loads a version sees to it that nobody else loads or removes it at
the same time in this process.
"""

from collections.abc import Sequence
from contextlib import suppress

from ossfs_resume.cache.backing import Backing
from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.entry import Announce, Entry
from ossfs_resume.cache.geometry import Geometry
from ossfs_resume.cache.models import EntryRow, ObjectVersion, StoredParts
from ossfs_resume.cache.part_writing import Room
from ossfs_resume.cache.progress import Progress
from ossfs_resume.cache.storage import Storages
from ossfs_resume.cache.trust import Trust
from ossfs_resume.errors import CacheError


class Loader:
    """Objects that the catalogue does not know are divided into parts of ``part_size``, if they
    are not too large for that. ``announce`` and ``room`` are for the entries."""

    def __init__(
        self,
        catalog: Catalog,
        storages: Storages,
        part_size: int,
        trust: Trust,
        announce: Announce,
        room: Room,
    ) -> None:
        self._catalog = catalog
        self._storages = storages
        self._part_size = part_size
        self._trust = trust
        self._announce = announce
        self._room = room

    def load(self, versions: Sequence[ObjectVersion]) -> list[Entry]:
        """The entries, their files open and the bytes of small objects in memory.

        Raises CacheError.
        """
        if not versions:
            return []
        found = self._catalog.load(versions)
        entries = [self._entry(version, row) for version, row in zip(versions, found, strict=True)]
        held: list[Entry] = []
        try:
            self._storages.bring([blob for entry in entries if (blob := entry.blob) is not None])
            held.extend(map(self._held, entries))
        except BaseException:
            for entry in held:
                with suppress(CacheError):
                    entry.close()
            raise
        return held

    def _held(self, entry: Entry) -> Entry:
        """The entry when nobody can remove its bytes any more; anew if somebody just did."""
        while True:
            has_bytes = entry.hold()
            if entry.stock is None or (entry.is_blob and has_bytes):
                return entry
            if entry.stands_on(self._catalog.find(entry.version)):
                if not has_bytes:
                    entry.lose(range(entry.part_count))
                return entry
            entry.close()
            entry = self._entry(entry.version, self._catalog.load([entry.version])[0])

    def detached(self, version: ObjectVersion) -> Entry:
        """An entry that holds nothing and keeps nothing. Memory only."""
        entry = self._entry(version)
        entry.progress.supersede()
        return entry

    def trust_again(self, entry: Entry) -> None:
        """What was trusted when it was closed. Only once it can be found by whoever ends trust."""
        epoch = entry.progress.epoch
        if entry.stock is not None:
            trusted = self._trust.memory.recall(entry.stock.row_id, entry.seen)
            entry.progress.trust(trusted, epoch)

    def _entry(
        self, version: ObjectVersion, stored: tuple[EntryRow, StoredParts] | None = None
    ) -> Entry:
        row, parts = stored or (None, None)
        if row is None:
            geometry = Geometry.fitting(version.size, self._part_size)
        else:
            geometry = Geometry(version.size, row.part_size)
        progress = Progress(geometry, row, parts)
        backing = Backing(self._catalog, self._storages, version, geometry, row)
        return Entry(version, progress, backing, self._trust, self._announce, self._room)
