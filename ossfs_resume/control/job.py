"""One accepted request to fetch a key, or everything below a prefix."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace

import trio

from ossfs_resume.cache.progress import Progress
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.vfs.names import is_prefix

MOST_SHOWN = 16
"""How many objects a report names: of those that are fetched, and of those that failed."""

LONGEST_REPORT_BYTES = 60_000
"""The kernel takes 64 KiB as the value of an attribute."""


@dataclass(eq=False, slots=True)
class Flight:
    """An object that a job is fetching; sizes in bytes. ``reused`` is what was here before."""

    size: int
    reused: int = 0
    _progress: Progress | None = None

    def opened(self, progress: Progress) -> None:
        """It is being fetched, now or once more."""
        if self._progress is None:
            self.reused = progress.present_bytes
        self._progress = progress

    @property
    def present(self) -> int:
        """What is here at this moment."""
        return 0 if self._progress is None else self._progress.present_bytes


@dataclass(frozen=True, slots=True)
class JobReport:
    """How far a job is. Sizes in bytes; ``bytes`` are here, ``reused_bytes`` of them were before.

    ``state`` is one of queued, running, paused, done, failed (some of it, for good), cancelled.
    While ``is_counted`` is False there is more to come than ``objects`` and ``total_bytes`` say.
    """

    path: str
    state: str
    objects: int = 0
    objects_done: int = 0
    total_bytes: int = 0
    bytes: int = 0
    reused_bytes: int = 0
    is_counted: bool = False
    failed: int = 0
    failures: tuple[tuple[str, str], ...] = ()
    """Keys, and why; the first ones."""
    transferring: tuple[tuple[str, int, int], ...] = ()
    """Keys, how much of each is here, and its size."""
    error: str = ""
    """Why it cannot get on at this moment."""

    def document(self) -> str:
        """JSON that fits into an attribute; bytes that are no text become question marks."""
        shown, most = self, MOST_SHOWN
        while len(text := json.dumps(asdict(shown), ensure_ascii=False)) * 4 > LONGEST_REPORT_BYTES:
            most //= 2
            shown = replace(
                shown,
                failures=shown.failures[:most],
                transferring=shown.transferring[:most],
                error=shown.error[:1000],
            )
            if not most:
                break
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@dataclass(eq=False, slots=True)
class Job:
    """One accepted request. ``path`` is a key, or a prefix that ends in ``/`` or is empty.

    A job that is resumed after a pause is another one, which begins to count anew.
    """

    number: int
    path: str
    is_paused: bool = False
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    fetching: dict[str, Flight] = field(default_factory=dict)
    """The objects that it is fetching at this moment, by key."""
    failed: int = 0
    """How many objects it gave up."""
    _failures: dict[str, str] = field(default_factory=dict)
    _objects: int = 0
    _bytes: int = 0
    _is_counted: bool = False
    _done: int = 0
    _done_bytes: int = 0
    _reused_bytes: int = 0

    @property
    def is_prefix(self) -> bool:
        """Whether it names everything below a directory."""
        return is_prefix(self.path)

    def covers(self, key: str) -> bool:
        """Whether the object of this key, or all below this prefix, is fetched by this job."""
        return key.startswith(self.path) if self.is_prefix else key == self.path

    def concerns(self, prefix: str) -> bool:
        """Whether it fetches anything below this prefix."""
        return self.path.startswith(prefix) or self.covers(prefix)

    def is_fetching_below(self, prefix: str) -> bool:
        """Whether it is fetching an object below this prefix at this moment."""
        return any(key.startswith(prefix) for key in self.fetching)

    # --- counting ---

    def count(self, metas: Iterable[ObjectMeta], *, is_all: bool) -> None:
        """So much more is to be fetched; with ``is_all`` there is no more."""
        for meta in metas:
            self._objects += 1
            self._bytes += meta.size
        self._is_counted = is_all

    def begin(self, meta: ObjectMeta) -> Flight:
        """An object is being fetched."""
        flight = self.fetching[meta.key] = Flight(meta.size)
        return flight

    def resized(self, meta: ObjectMeta, size: int) -> None:
        """An object that was counted with ``size`` is another one by now."""
        self._bytes += meta.size - size
        if meta.key in self.fetching:
            self.fetching[meta.key].size = meta.size

    def end(self, key: str, *, is_done: bool) -> None:
        """It is not being fetched any more."""
        flight = self.fetching.pop(key)
        self._done += is_done
        self._done_bytes += flight.size if is_done else flight.present
        self._reused_bytes += min(flight.reused, flight.size)

    def fail(self, path: str, error: Exception) -> None:
        """An object, or the listing, was given up."""
        self.failed += 1
        if len(self._failures) < MOST_SHOWN:
            self._failures[path] = str(error)

    def report(self, state: str = "", error: str = "") -> JobReport:
        """How far it is; ``state`` if it is over."""
        flights = self.fetching.items()
        going_on = "paused" if self.is_paused else "running" if flights else "queued"
        return JobReport(
            self.path,
            state or going_on,
            self._objects,
            self._done,
            self._bytes,
            self._done_bytes + sum(flight.present for _, flight in flights),
            self._reused_bytes + sum(flight.reused for _, flight in flights),
            self._is_counted,
            self.failed,
            tuple(self._failures.items()),
            tuple((key, one.present, one.size) for key, one in list(flights)[:MOST_SHOWN]),
            error,
        )
