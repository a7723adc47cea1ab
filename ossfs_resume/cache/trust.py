"""Which parts this process wrote or checked itself, of entries that are closed.

An idle entry is closed; the next one to open it reads what is present from the catalogue, where
another process may have changed it, and need not check again what this process has already seen.
Only what is synced may be remembered: of anything else a write-back error could go unnoticed once
the descriptor is closed. The least recently closed is forgotten first.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from ossfs_resume.cache.foreign import Seen

_BYTES = 4 << 20
_OVERHEAD = 256
"""About what a dictionary item costs beside its bitmap."""


@dataclass(frozen=True, slots=True)
class _Trusted:
    parts: bytes
    seen: Mapping[int, Seen]

    @property
    def size(self) -> int:
        return len(self.parts) + _OVERHEAD


class TrustMemory:
    """Packed bitmaps of trusted parts by row, up to about 4 MiB. Memory only."""

    def __init__(self, limit: int = _BYTES) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._bytes = 0
        self._trusted: OrderedDict[int, _Trusted] = OrderedDict()

    def remember(self, row_id: int, parts: bytes, seen: Mapping[int, Seen]) -> None:
        """An entry is closed, all of it synced; its file looks like this."""
        with self._lock:
            self._forget(row_id)
            self._trusted[row_id] = trusted = _Trusted(parts, seen)
            self._bytes += trusted.size
            while self._bytes > self._limit:
                self._forget(next(iter(self._trusted)))

    def clear(self) -> None:
        """Trust nothing."""
        with self._lock:
            self._trusted.clear()
            self._bytes = 0

    def recall(self, row_id: int, seen: Mapping[int, Seen]) -> bytes:
        """What was trusted when it was closed; empty if that is not known, or if the file, which
        looks like this now, was touched since."""
        with self._lock:
            trusted = self._trusted.get(row_id)
        return trusted.parts if trusted is not None and trusted.seen == seen else b""

    def _forget(self, row_id: int) -> None:
        if (trusted := self._trusted.pop(row_id, None)) is not None:
            self._bytes -= trusted.size
