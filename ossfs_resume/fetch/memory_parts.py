"""Parts that the cache could not keep, or not give back: held in memory until they were read.

The least recently used go first when there are too many. One that a reader waits for never goes,
or its reader would fetch it for ever; such parts are taken within the same turn of the event loop,
so they are about as many as requests run at once.
"""

from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

LIMIT_BYTES = 64 * 1024 * 1024
"""Over all objects: several windows of the read-ahead that is allowed while the disk is ill."""

_Key = tuple[Hashable, int]


class MemoryParts:
    """Bytes by owner (any object that is compared by identity) and number of the part."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._parts: OrderedDict[_Key, bytes] = OrderedDict()
        self._wanted: Counter[_Key] = Counter()
        self._demanded: Counter[_Key] = Counter()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._parts)

    def __repr__(self) -> str:
        return f"<MemoryParts {len(self)} parts, {self.size_bytes} bytes>"

    def hold(self, owner: Hashable, part: int, data: bytes) -> None:
        """Keep one part; others go if there is no room."""
        self._remove((owner, part))
        self._parts[owner, part] = data
        self.size_bytes += len(data)
        self._shrink()

    def get(self, owner: Hashable, part: int) -> bytes | None:
        """A part, if it is here; it counts as used."""
        data = self._parts.get((owner, part))
        if data is not None:
            self._parts.move_to_end((owner, part))
        return data

    def has(self, owner: Hashable, part: int) -> bool:
        """Whether a part is here."""
        return (owner, part) in self._parts

    def absent(self, owner: Hashable, parts: range) -> list[range]:
        """Maximal runs of ``parts`` that are not here."""
        runs: list[range] = []
        for part in parts:
            if not self.has(owner, part):
                start = runs.pop().start if runs and runs[-1].stop == part else part
                runs.append(range(start, part + 1))
        return runs

    def drop(self, owner: Hashable) -> None:
        """Nobody will read the parts of this owner any more."""
        for key in [key for key in self._parts if key[0] is owner]:
            self._remove(key)

    @contextmanager
    def wanted(self, owner: Hashable, parts: range) -> Iterator[None]:
        """Let none of the parts go for want of room while the block runs."""
        with _counted(self._wanted, owner, parts):
            yield
        self._shrink()

    @contextmanager
    def demanded(self, owner: Hashable, parts: range) -> Iterator[None]:
        """The block's reader takes the parts from here alone, whatever the disk says it has."""
        with _counted(self._demanded, owner, parts):
            yield

    def has_demands(self) -> bool:
        """Whether any part must be held even if the disk took it."""
        return bool(self._demanded)

    def is_demanded(self, owner: Hashable, part: int) -> bool:
        """Whether a part must be held even if the disk took it."""
        return (owner, part) in self._demanded

    def _remove(self, key: _Key) -> None:
        data = self._parts.pop(key, None)
        if data is not None:
            self.size_bytes -= len(data)

    def _shrink(self) -> None:
        if self.size_bytes <= self._limit_bytes:
            return
        for key in [key for key in self._parts if key not in self._wanted]:
            self._remove(key)
            if self.size_bytes <= self._limit_bytes:
                return


@contextmanager
def _counted(counter: Counter[_Key], owner: Hashable, parts: range) -> Iterator[None]:
    keys = [(owner, part) for part in parts]
    counter.update(keys)
    try:
        yield
    finally:
        for key in keys:
            counter[key] -= 1
            if not counter[key]:
                del counter[key]
