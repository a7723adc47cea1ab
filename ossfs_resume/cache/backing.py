"""What an entry stands on: its row in the catalogue, and the storage of its bytes.

A row and a data file come into being with the first write, row first. The bytes of a small object
are in memory at first, and get both rows in the same commit. An entry that is only looked at, or
whose every write fails, leaves nothing behind, and can be had on a full disk as well.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.geometry import Geometry
from ossfs_resume.cache.models import EntryRow, Generation, ObjectVersion, StoredPart
from ossfs_resume.cache.small_objects import Blob
from ossfs_resume.cache.storage import Storage, Storages
from ossfs_resume.cache.transaction import Transaction
from ossfs_resume.errors import CacheError


def new_suffix() -> str:
    """A file name suffix that no other row ever had, not even one that a power cut took back."""
    return secrets.token_hex(8)


class Superseded(CacheError):
    """The row is gone, another one, or divided into other parts."""


class Backing:
    """The row and the storage of one version. Methods raise CacheError."""

    def __init__(
        self,
        catalog: Catalog,
        storages: Storages,
        version: ObjectVersion,
        geometry: Geometry,
        row: EntryRow | None,
    ) -> None:
        self._catalog = catalog
        self._storages = storages
        self._version = version
        self._geometry = geometry
        self._lock = threading.Lock()
        self._bound: tuple[Generation, Storage] | None = None
        self._blob = None if row else storages.new_blob(version.size, geometry.part_count)
        if row:
            self._bind(row)

    @property
    def generation(self) -> Generation | None:
        """What changes are made for; None before the first write, or that of a small object before
        its commit."""
        return self._bound[0] if self._bound else None

    @property
    def file(self) -> Storage:
        """Where the bytes are. Raises CacheError before the first write."""
        if self._bound is not None:
            return self._bound[1]
        if self._blob is not None:
            return self._blob
        raise CacheError(f"nothing of {self._version.key!r} was ever written")

    @property
    def unstored(self) -> bytes | None:
        """The bytes of a small object that are not in their row yet."""
        return self._blob.unstored if self._blob is not None else None

    @property
    def blob(self) -> Blob | None:
        """The small object, if it is one or is going to be."""
        return self._blob

    @property
    def is_blob(self) -> bool:
        """Whether it is a row of the small objects, or is going to be."""
        return self._blob is not None

    def stands_on(self, row: EntryRow | None) -> bool:
        """Whether this is the row that changes are made for, or may become so; None is no row."""
        generation = self.generation
        if row is None:
            return generation is None
        is_same = generation is None or generation.row_id == row.row_id
        is_same_kind = row.part_size == self._geometry.part_size and row.is_blob == self.is_blob
        return is_same and is_same_kind

    def ensure(self) -> Storage:
        """Where to write: a data file after its row was committed."""
        if self._bound is None and self._blob is None:
            with self._lock:
                if self._bound is None:
                    with self._catalog.transaction() as transaction:
                        row = self._ensure_row(transaction, new_suffix())
                    self._bind(row)
        return self.file

    def begin_commit(self, transaction: Transaction) -> Generation | None:
        """What the changes in this transaction are made for, a row that it makes if need be; None
        if there is nothing to commit. `undo_commit` if the transaction fails.

        Raises Superseded.
        """
        if self._bound is None and self.unstored is not None:
            # Without the lock, which is taken before the catalogue's: a version has one row.
            self._bind(self._ensure_row(transaction, ""))
        return self.generation

    def undo_commit(self, former: Generation | None) -> None:
        """Nothing of the transaction has come to be; it began with this generation."""
        if former is None and self._blob is not None:
            self._bound = self._blob.row_id = None

    def stored_bytes(self, data: bytes) -> None:
        """These bytes of a small object are in their row."""
        if self._blob is not None:
            self._blob.stored(data)

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
                self._bind(found[0])
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
        """Remove the row durably, and only then the bytes."""
        if self._bound is not None or self.unstored is not None:
            with self._catalog.transaction(durable=True) as transaction:
                # Asked inside: a commit that was under way has made the row by now.
                if (generation := self.generation) is not None:
                    transaction.remove(generation)
            self.file.unlink()

    def close(self, *, unlink: bool = False) -> None:
        """Close the file; ``unlink`` if no row names it any more. What is left of a small object is
        rubbish for ``leftovers``: its id may be another's in the catalogue that there is by now."""
        if unlink and self._bound is not None and not self.is_blob:
            self.file.unlink()
        if self._bound is not None or self._blob is not None:
            self.file.close()

    def _ensure_row(self, transaction: Transaction, suffix: str) -> EntryRow:
        row = transaction.ensure_entry(
            self._version, self._geometry.part_size, suffix, int(time.time() * 1000)
        )
        if not self.stands_on(row):
            raise Superseded(f"another process replaced {self._version.key!r}")
        return row

    def _bind(self, row: EntryRow) -> None:
        generation = Generation(row.row_id, self._geometry)
        if self._blob is not None:
            self._blob.row_id = row.row_id
            self._bound = generation, self._blob
            return
        storage = self._storages.of_row(row.row_id, row.file_suffix, self._version.size)
        self._blob = storage if isinstance(storage, Blob) else None
        self._bound = generation, storage
