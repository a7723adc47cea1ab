"""The entries in use, and by how many.

There is one Entry of each version that a new holder would get. It stays after its last release
until everything it knows is committed and synced, because a write-back error may be reported to
its descriptor only. A discarded entry is hidden from new holders at once and stays for its old.

Memory behind one lock; nothing blocks.
"""

import threading

from ossfs_resume.cache.entry import Entry
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.progress import Progress
from ossfs_resume.errors import CacheError


class EntryTable:
    """Entries by version, and their holders."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: dict[ObjectVersion, Entry] = {}
        self._holders: dict[Entry, int] = {}
        self._is_closed = False

    def hold(self, version: ObjectVersion) -> Entry | None:
        """One more holder for the entry in use; None if there is none that can be added to.

        Raises CacheError if the table is closed.
        """
        with self._lock:
            if self._is_closed:
                raise CacheError("the cache is closed")
            entry = self._current.get(version)
            if entry is None or not entry.progress.is_open:
                return None
            self._holders[entry] += 1
            return entry

    def hold_on(self, entry: Entry) -> bool:
        """One more holder for an entry that is still here; whether it is."""
        with self._lock:
            if self._is_closed or entry not in self._holders:
                return False
            self._holders[entry] += 1
            return True

    def add(self, entry: Entry) -> None:
        """An entry that has one holder."""
        with self._lock:
            self._current[entry.version] = entry
            self._holders[entry] = 1

    def release(self, entry: Entry) -> bool:
        """One holder less; whether it was the last. Does nothing once the table is closed, nor
        for an entry that was never added."""
        with self._lock:
            if self._is_closed or entry not in self._holders:
                return False
            self._holders[entry] -= 1
            return self._holders[entry] == 0

    def hide(self, entry: Entry) -> None:
        """Give it to no new holder."""
        with self._lock:
            if self._current.get(entry.version) is entry:
                del self._current[entry.version]

    def remove_if_idle(self, entry: Entry) -> bool:
        """Remove an entry that nobody holds and that has nothing left to do; whether it was so."""
        with self._lock:
            if self._holders.get(entry, 1) or not entry.progress.is_settled:
                return False
            del self._holders[entry]
            if self._current.get(entry.version) is entry:
                del self._current[entry.version]
            return True

    def find(self, version: ObjectVersion) -> Entry | None:
        """The entry in use, without holding it."""
        with self._lock:
            return self._current.get(version)

    def is_held(self, version: ObjectVersion) -> bool:
        """Whether anybody holds the entry in use."""
        with self._lock:
            entry = self._current.get(version)
            return entry is not None and self._holders[entry] > 0

    def current(self) -> list[Entry]:
        """Every entry that a new holder would get."""
        with self._lock:
            return list(self._current.values())

    def entries(self) -> list[Entry]:
        """Every entry, hidden ones included."""
        with self._lock:
            return list(self._holders)

    def opened(self) -> list[tuple[ObjectVersion, Progress]]:
        """What is known of the parts of every entry, hidden ones included."""
        return [(entry.version, entry.progress) for entry in self.entries()]

    def close(self) -> bool:
        """Give out no entries any more; False if that was so before."""
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
            return not was_closed

    def __len__(self) -> int:
        return len(self._holders)
