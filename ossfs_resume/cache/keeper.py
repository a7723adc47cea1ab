"""What a user can ask of the cache's space: pin, unpin, evict, and how much fits.

Every method blocks and raises CacheError.
"""

from collections.abc import Iterator, Sequence

from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.freeing import RemovalListener
from ossfs_resume.cache.models import EntryRecord, ObjectVersion, Totals
from ossfs_resume.cache.space import Reclaimer
from ossfs_resume.errors import InUse, NoSpace
from ossfs_resume.quantities import format_size
from ossfs_resume.wording import quoted

_BLOCK = 4096
_PAGE = 256


def _to_nobody(versions: Sequence[ObjectVersion]) -> None:
    pass


def in_blocks(objects: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Keys with what their bytes take on a disk."""
    return [(key, -(-size // _BLOCK) * _BLOCK) for key, size in objects]


def _does_not_fit(size: int, capacity: int) -> NoSpace:
    return NoSpace(
        f"{format_size(size)} cannot be pinned: the cache has room for {format_size(capacity)} of"
        " pinned data"
    )


class Keeper:
    """Made by the store; ``store.keeper``."""

    def __init__(self, catalog: Catalog, reclaimer: Reclaimer) -> None:
        self._catalog = catalog
        self._reclaimer = reclaimer
        self._freeing = reclaimer.freeing
        self._on_bad: RemovalListener = _to_nobody
        self._on_distrust: RemovalListener = _to_nobody

    def listen(
        self,
        *,
        removed: RemovalListener = _to_nobody,
        bad: RemovalListener = _to_nobody,
        distrusted: RemovalListener = _to_nobody,
    ) -> None:
        """Tell, from any thread, of which versions bytes are removed from now on to make room, were
        found bad by another process, or may have been bad when they were read here."""
        self._freeing.listener = removed
        self._on_bad, self._on_distrust = bad, distrusted

    def found_bad(self, versions: Sequence[ObjectVersion]) -> None:
        """Another process found bad bytes in these."""
        self._on_bad(versions)

    def distrusted(self, versions: Sequence[ObjectVersion]) -> None:
        """Bytes of these may be bad that were read here: the disk cannot be trusted."""
        self._on_distrust(versions)

    def capacity(self) -> int:
        """How many bytes the cache may take at this moment, what is pinned included."""
        return self._reclaimer.capacity()

    def reclaim(self) -> None:
        """Remove now what is over the limits."""
        self._reclaimer.reclaim()

    def require_room(self, key: str, size: int) -> None:
        """Raise NoSpace if an object of this size cannot be kept beside what is pinned."""
        (is_pinned,) = self._catalog.pinned([key])
        if is_pinned:
            return
        room = self.capacity() - self._catalog.pinned_bytes()
        if size > room:
            raise NoSpace(
                f"{quoted(key)}: {format_size(size)} do not fit into the cache, which has room for"
                f" {format_size(max(room, 0))}"
            )

    def pin(self, objects: Sequence[tuple[str, int]]) -> None:
        """Keep these keys, each of so many bytes, for good: all of them, or NoSpace is raised."""
        capacity, reserved = self.capacity(), in_blocks(objects)
        with self._catalog.transaction(durable=True) as transaction:
            if not transaction.add_pins(reserved, capacity):
                raise _does_not_fit(sum(size for _, size in reserved), capacity)

    def reserve(self, prefix: str, size: int) -> None:
        """Keep room for the pins of everything below a prefix, which take ``size`` bytes of blocks
        in all, until `end_reservation`, or an `unpin` of it. Raises NoSpace."""
        capacity = self.capacity()
        with self._catalog.transaction(durable=True) as transaction:
            if not transaction.reserve_pins(prefix, size, capacity):
                raise _does_not_fit(size, capacity)

    def pin_reserved(self, prefix: str, objects: Sequence[tuple[str, int]]) -> None:
        """Pin these, in the room that is kept. Raises NoSpace if they have grown beyond it."""
        capacity, reserved = self.capacity(), in_blocks(objects)
        with self._catalog.transaction(durable=True) as transaction:
            if not transaction.add_reserved_pins(prefix, reserved, capacity):
                raise _does_not_fit(sum(size for _, size in reserved), capacity)

    def end_reservation(self, prefix: str) -> None:
        """Everything below the prefix is pinned."""
        with self._catalog.transaction(durable=True) as transaction:
            transaction.end_reservation(prefix)

    def unpin(self, path: str) -> int:
        """Let go of a key, or of everything below a prefix; how many pins that were."""
        with self._catalog.transaction(durable=True) as transaction:
            return transaction.remove_pins(path)

    def is_pinned(self, key: str) -> bool:
        """Whether this key is pinned."""
        return self._catalog.pinned([key]) == [True]

    def evict(self, version: ObjectVersion) -> None:
        """Remove what is cached of a version. Raises InUse if it is open or pinned."""
        self._freeing.commit()
        for record in self.records(version.key):
            if record.version == version and record.allocated + record.row.bytes_present:
                self._evict(record)

    def _evict(self, record: EntryRecord) -> None:
        key = record.version.key
        if record.is_pinned:
            raise InUse(f"{quoted(key)} is pinned")
        if not self._freeing.evict([record]):
            raise InUse(f"{quoted(key)} is in use")

    def evict_below(self, path: str) -> int:
        """Remove what is cached of everything below a prefix, less what is open or pinned; how
        many versions were removed."""
        self._freeing.commit()
        evicted = 0
        batch: list[EntryRecord] = []
        for record in self.records(path):
            if not record.is_pinned and (record.allocated or record.row.bytes_present):
                batch.append(record)
            if len(batch) == _PAGE:
                evicted += len(self._freeing.evict(batch))
                batch = []
        return evicted + len(self._freeing.evict(batch))

    def totals(self, path: str = "") -> Totals:
        """What is cached of a key, or below a prefix, added up."""
        return self._catalog.totals(path)

    def records(self, path: str = "") -> Iterator[EntryRecord]:
        """Every entry of a key, or below a prefix, in the order of keys."""
        last = None
        while page := self._catalog.entries(path, last, _PAGE):
            yield from page
            last = page[-1].version
