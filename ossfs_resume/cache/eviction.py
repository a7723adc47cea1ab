"""What to remove when the cache takes too much: usage, limits and candidates in, victims out.

The order is by `Rank`, then by the time of the last use: versions that the bucket has no more,
then what was fetched ahead and never read (so that a large prefetch does not push out what is
really used), then the rest. Pinned and used entries are no candidates at all.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum

GIB = 1 << 30

SLACK = 20
"""When something must go, a twentieth of the limit goes too, lest every write evict a little."""


EARLY = 16
"""Removing in the background begins when all but a sixteenth of the limit is taken."""


class Rank(IntEnum):
    """What goes first; the numbers are those of the catalogue's column ``rank``."""

    SUPERSEDED = 0
    PREFETCHED = 1
    READ = 2


@dataclass(frozen=True, slots=True)
class Reserve:
    """How much stays free: ``fraction`` of the whole, but at most ``most`` if that is given."""

    fraction: float
    most: int | None = None

    def of(self, whole: int) -> int:
        """The reserve in units of ``whole``."""
        share = int(whole * self.fraction)
        return share if self.most is None else min(share, self.most)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the cache may take. ``size`` is in bytes of disk; None is no limit."""

    size: int | None = None
    free: Reserve | int = 0
    """What stays free of the disk: a share of it, or bytes."""
    free_files: Reserve = Reserve(0)


DEFAULT_FREE = Reserve(0.1, 10 * GIB)
DEFAULT_FREE_FILES = Reserve(0.1, 100_000)


@dataclass(frozen=True, slots=True)
class Usage:
    """What the cache takes, and what its file system has, in bytes and in files.

    A file system without a fixed number of files has ``disk_files`` 0.
    """

    allocated: int
    disk_bytes: int
    free_bytes: int
    disk_files: int
    free_files: int


@dataclass(frozen=True, slots=True)
class Need:
    """What has to go."""

    size: int
    files: int

    def __bool__(self) -> bool:
        return self.size > 0 or self.files > 0

    def less(self, size: int, files: int) -> "Need":
        """What remains after so much went."""
        return Need(max(self.size - size, 0), max(self.files - files, 0))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cached object version. ``last_used`` may be in any unit of time."""

    row_id: int
    rank: int
    last_used: int
    allocated: int
    is_pinned: bool = False
    is_in_use: bool = False


def reserved_bytes(usage: Usage, limits: Limits) -> int:
    """How many bytes of the disk must stay free."""
    return limits.free if isinstance(limits.free, int) else limits.free.of(usage.disk_bytes)


def capacity(usage: Usage, limits: Limits) -> int:
    """How many bytes the cache may take at this moment, what it has included; never negative."""
    room = max(usage.allocated + usage.free_bytes - reserved_bytes(usage, limits), 0)
    return room if limits.size is None else min(room, limits.size)


def excess(usage: Usage, limits: Limits) -> Need:
    """What has to go so that the limits hold, with some slack; nothing if they hold."""
    return Need(_excess_bytes(usage, limits), _excess_files(usage, limits))


def early(limits: Limits) -> Limits:
    """When to begin in the background, so that hardly a writer has to wait for room."""
    size = None if limits.size is None else limits.size - limits.size // EARLY
    return replace(limits, size=size)


def shortage(usage: Usage, limits: Limits, headroom: int, size: int) -> Need:
    """What has to go before ``size`` bytes more may be written, with some slack; nothing if they
    fit. ``headroom`` bytes of the disk stay free, whatever the limits say."""
    over = [headroom + size - usage.free_bytes]
    if limits.size is not None:
        over.append(_with_slack(usage.allocated + size - limits.size, limits.size))
    return Need(max(*over, 0), 0)


def victims(candidates: Iterable[Candidate], need: Need) -> list[Candidate]:
    """The first candidates, in order, that free what is needed; all that may go if too few do."""
    chosen: list[Candidate] = []
    may_go = (one for one in candidates if not (one.is_pinned or one.is_in_use))
    for candidate in sorted(may_go, key=lambda one: (one.rank, one.last_used, one.row_id)):
        if not need:
            break
        chosen.append(candidate)
        need = need.less(candidate.allocated, 1)
    return chosen


def _excess_bytes(usage: Usage, limits: Limits) -> int:
    reserved = reserved_bytes(usage, limits)
    over = [_with_slack(reserved - usage.free_bytes, reserved)]
    if limits.size is not None:
        over.append(_with_slack(usage.allocated - limits.size, limits.size))
    return max(over)


def _excess_files(usage: Usage, limits: Limits) -> int:
    if not usage.disk_files:
        return 0
    reserved = limits.free_files.of(usage.disk_files)
    return _with_slack(reserved - usage.free_files, reserved)


def _with_slack(over: int, limit: int) -> int:
    return over + limit // SLACK if over > 0 else 0
