"""Which parts this process need not compare again, and when that ends for all of them at once.

What a process wrote or compared itself it serves unchecked, for as long as the disk is above
suspicion. At the first sign of a disk that does not give back what it was given (an I/O error, a
catalogue that cannot be read, bytes that are not what was stored) all trust *ends*: every part is
compared again before its next use, and whoever has copies is told. A disk that is merely full, or
read-only, is none of these signs (``failure``).

``TrustMemory`` is for entries that are closed. An idle entry is closed; the next one to open it
reads what is present from the catalogue, where another process may have changed it, and need not
check again what this process has already seen. Only what is synced may be remembered: of anything
else a write-back error could go unnoticed once the descriptor is closed. It is recalled once, or
what an entry has lost since would be believed of the one after it. The least recently closed is
forgotten first.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from ossfs_resume.cache.failure import FailingDisk, translated
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.progress import Progress
from ossfs_resume.cache.segment_files import Seen

_log = logging.getLogger(__name__)

_BYTES = 4 << 20
_OVERHEAD = 256
"""About what a dictionary item costs beside its bitmap."""


@dataclass(frozen=True, slots=True)
class Trusted:
    """Of a closed entry: its trusted parts, packed, and how its file looked."""

    version: ObjectVersion
    parts: bytes
    seen: Mapping[int, Seen]
    was_read: bool
    """Somebody may have copies."""

    @property
    def size(self) -> int:
        """About the bytes that it takes."""
        return len(self.parts) + _OVERHEAD


class TrustMemory:
    """Packed bitmaps of trusted parts by row, up to about 4 MiB. Memory only."""

    def __init__(self, limit: int = _BYTES) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._bytes = 0
        self._trusted: OrderedDict[int, Trusted] = OrderedDict()
        self.epoch = 0
        """Rises when everything is forgotten."""

    def remember(self, row_id: int, trusted: Trusted, epoch: int) -> None:
        """An entry is closed, all of it synced; ``epoch`` is from before it was looked at."""
        with self._lock:
            self._forget(row_id)
            if epoch != self.epoch:
                return
            self._trusted[row_id] = trusted
            self._bytes += trusted.size
            while self._bytes > self._limit:
                self._forget(next(iter(self._trusted)))

    def clear(self) -> list[ObjectVersion]:
        """Trust nothing; the versions of which somebody may have copies."""
        with self._lock:
            versions = [one.version for one in self._trusted.values() if one.was_read]
            self._trusted.clear()
            self._bytes = 0
            self.epoch += 1
            return versions

    def recall(self, row_id: int, seen: Mapping[int, Seen]) -> bytes:
        """What was trusted when it was closed, said once; empty if that is not known, or if the
        file, which looks like this now, was touched since."""
        with self._lock:
            trusted = self._forget(row_id)
        return trusted.parts if trusted is not None and trusted.seen == seen else b""

    def _forget(self, row_id: int) -> Trusted | None:
        if (trusted := self._trusted.pop(row_id, None)) is not None:
            self._bytes -= trusted.size
        return trusted


class Trust:
    """Of all entries of one store: those that are closed, in ``memory``, and those that are
    ``opened``. ``tell`` is called, from any thread and with locks held, with the versions of which
    somebody may have copies. Nothing blocks."""

    def __init__(
        self,
        opened: Callable[[], Iterable[tuple[ObjectVersion, Progress]]],
        tell: Callable[[Sequence[ObjectVersion]], None],
    ) -> None:
        self._opened = opened
        self._tell = tell
        self.memory = TrustMemory()
        self.ends = 0
        """How often it has ended."""

    def translated(self, action: str) -> "_Translated":
        """Like ``failure.translated``; a failing disk ends all trust."""
        return _Translated(action, self)

    def end(self, why: str) -> None:
        """Let every part of every entry be compared before its next use."""
        _log.debug("everything is compared again: %s", why)
        self.ends += 1
        told = dict.fromkeys(self.memory.clear())
        for version, progress in self._opened():
            progress.doubt()
            if progress.forget_copies():
                told[version] = None
        if told:
            self._tell(list(told))


class _Translated(translated):
    __slots__ = ("_trust",)

    def __init__(self, action: str, trust: Trust) -> None:
        super().__init__(action)
        self._trust = trust

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(kind, error, traceback)
        except FailingDisk as failing:
            self._trust.end(str(failing))
            raise
        if isinstance(error, FailingDisk):
            self._trust.end(str(error))
