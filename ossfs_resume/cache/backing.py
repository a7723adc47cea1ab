"""What an entry stands on: its row in the catalogue and its data file.

Both come into being with the first write, row first. An entry that is only looked at, or whose
every write fails, leaves nothing behind, and can be had on a full disk as well.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.datafile import DataFile
from ossfs_resume.cache.geometry import Geometry
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.records import EntryRow, Generation, StoredPart
from ossfs_resume.errors import CacheError

FileFactory = Callable[[int, str, int], DataFile]
"""Makes the data file for a row id, a suffix and an object size in bytes."""


def new_suffix() -> str:
    """A file name suffix that no other row ever had, not even one that a power cut took back."""
    return secrets.token_hex(8)


class Superseded(CacheError):
    """The row is gone, another one, or divided into other parts."""


class Backing:
    """The row and the file of one version. Methods raise CacheError."""

    def __init__(
        self,
        catalog: Catalog,
        make_file: FileFactory,
        version: ObjectVersion,
        geometry: Geometry,
        row: EntryRow | None,
    ) -> None:
        self._catalog = catalog
        self._make_file = make_file
        self._version = version
        self._geometry = geometry
        self._lock = threading.Lock()
        self._bound: tuple[Generation, DataFile] | None = self._bind(row) if row else None

    @property
    def generation(self) -> Generation | None:
        """What changes are made for; None before the first write."""
        return self._bound[0] if self._bound else None

    @property
    def file(self) -> DataFile:
        """The data file. Raises CacheError before the first write."""
        if self._bound is None:
            raise CacheError(f"nothing of {self._version.key!r} was ever written")
        return self._bound[1]

    def stands_on(self, row: EntryRow | None) -> bool:
        """Whether this is the row that changes are made for, or may become so; None is no row."""
        generation = self.generation
        if row is None:
            return generation is None
        is_same = generation is None or generation.row_id == row.row_id
        return is_same and row.part_size == self._geometry.part_size

    def ensure(self) -> DataFile:
        """The data file, after its row was committed."""
        if self._bound is None:
            with self._lock:
                if self._bound is None:
                    row = self._ensure_row()
                    if not self.stands_on(row):
                        raise Superseded(f"another process replaced {self._version.key!r}")
                    self._bound = self._bind(row)
        return self.file

    def stored(self, parts: range) -> tuple[EntryRow, Sequence[StoredPart]] | None:
        """What the catalogue has of these parts by now; None if there is no row yet.

        Raises Superseded if the row is another one, or gone.
        """
        found = self._catalog.load_run(self._version, parts)
        if not self.stands_on(found[0] if found else None):
            raise Superseded(f"another process replaced {self._version.key!r}")
        if found is None:
            return None
        with self._lock:
            if self._bound is None:
                self._bound = self._bind(found[0])
        return found

    def clear_parts(self, parts: Iterable[int], forget: Callable[[Iterable[int]], object]) -> None:
        """Take parts out of memory (``forget``) and the catalogue, in this order and in one
        transaction, so that no commit can put a part back in between."""
        generation = self.generation
        if generation is None:
            return
        parts = list(parts)
        with self._catalog.transaction() as transaction:
            forget(parts)
            transaction.clear_parts(generation, [range(part, part + 1) for part in parts])

    def remove_parts(self, take: Callable[[], list[int]]) -> list[int]:
        """Take parts, which ``take`` removes from memory and names, out of the catalogue, durably.

        Their bytes may be removed afterwards.
        """
        generation = self.generation
        if generation is None:
            return []
        with self._catalog.transaction(durable=True) as transaction:
            parts = take()
            is_current = transaction.clear_parts(
                generation, [range(part, part + 1) for part in parts]
            )
        return parts if is_current else []

    def tell_allocated(self) -> None:
        """Tell the catalogue what the file takes now."""
        if self._bound is not None:
            generation, file = self._bound
            with self._catalog.transaction() as transaction:
                # Asked inside, so that no older figure overtakes that of a commit.
                transaction.set_allocated(generation.row_id, file.allocated())

    def discard(self) -> None:
        """Remove the row durably, and only then unlink the file."""
        if self._bound is not None:
            generation, file = self._bound
            with self._catalog.transaction(durable=True) as transaction:
                transaction.remove(generation)
            file.unlink()

    def close(self, *, unlink: bool = False) -> None:
        """Close the file; ``unlink`` if no row names it any more."""
        if self._bound is not None:
            if unlink:
                self.file.unlink()
            self.file.close()

    def _ensure_row(self) -> EntryRow:
        with self._catalog.transaction() as transaction:
            return transaction.ensure_entry(
                self._version, self._geometry.part_size, new_suffix(), int(time.time() * 1000)
            )

    def _bind(self, row: EntryRow) -> tuple[Generation, DataFile]:
        generation = Generation(row.row_id, self._geometry)
        return generation, self._make_file(row.row_id, row.file_suffix, self._version.size)
