"""Values that travel between the cache and its callers."""

from dataclasses import dataclass, field
from pathlib import Path

from ossfs_resume.cache.eviction import Limits
from ossfs_resume.cache.geometry import MIN_PART_SIZE, is_power_of_two
from ossfs_resume.errors import SettingsError

_KIB = 1024
_MIB = 1024 * _KIB


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """Identity of one version of an object within a store.

    ``key`` is text decoded from UTF-8 with ``surrogateescape``; ``etag`` carries no quotes;
    ``size`` is in bytes.
    """

    key: str
    etag: str
    size: int


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Where a store lies and how eagerly it persists.

    The store is the folder ``directory/identity``; ``identity`` is one path component.
    Raises SettingsError for a value that makes no sense.
    """

    directory: Path
    identity: str
    part_size: int = 256 * _KIB
    # What kill -9 may cost: that long, or 24 MiB of finished parts. A commit takes 0.1 ms alone; in
    # company, or on a disk that is slow, a second, or 48 MiB (`committer`).
    commit_interval_s: float = 0.2
    commit_bytes: int = 16 * _MIB
    # What a power cut may cost. A shorter interval would have the disk flush all the time.
    sync_interval_s: float = 5.0
    sync_bytes: int = 256 * _MIB
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.identity in ("", ".", "..") or "/" in self.identity or "\0" in self.identity:
            raise SettingsError(f"cache identity {self.identity!r} is not a file name")
        if self.part_size < MIN_PART_SIZE or not is_power_of_two(self.part_size):
            raise SettingsError(
                f"part size {self.part_size} is not a power of two from {MIN_PART_SIZE} bytes"
            )


@dataclass(frozen=True, slots=True)
class EntrySummary:
    """What the cache holds of one object version."""

    version: ObjectVersion
    part_size: int
    part_count: int
    parts_present: int
    bytes_present: int
    is_verified: bool

    @property
    def is_complete(self) -> bool:
        """Whether every part is present; an empty object always is."""
        return self.parts_present == self.part_count


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """Counters of this process since the store was opened, and its state now."""

    open_entries: int
    uncommitted_bytes: int
    unsynced_bytes: int
    commits: int
    syncs: int
    discarded: int
    allocated_bytes: int
    """What the data files take on the disk, as of the last look."""
    evicted: int
    evicted_bytes: int
    error: str
    """Why the last commit or sync failed, in one line; empty while the cache is well."""
