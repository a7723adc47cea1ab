"""Values that travel between the cache and its callers, and those that go into the catalogue and
come out of it, with their encoding.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import NamedTuple

from ossfs_resume.cache.eviction import Limits
from ossfs_resume.cache.geometry import MIN_PART_SIZE, Geometry, is_power_of_two
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


CRC_BYTES = 8


@dataclass(frozen=True, slots=True)
class EntryRow:
    """A row of the table ``entry``."""

    row_id: int
    part_size: int
    file_suffix: str
    """Empty for a small object, which has no file."""
    crc64: int | None
    """Of the whole object, by the origin's account; unsigned."""
    part_crc: int | None
    """Of the only part of an object of one part; unsigned; None if it is absent."""
    parts_present: int
    bytes_present: int
    is_verified: bool

    @property
    def is_blob(self) -> bool:
        """Whether its bytes are a row of ``small_objects``, and not a file."""
        return not self.file_suffix


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """A row of the table ``entry``, with what eviction and people want to know of it."""

    version: ObjectVersion
    row: EntryRow
    allocated: int
    """What its data files take on the disk, in bytes."""
    last_used: int
    """Unix milliseconds."""
    rank: int
    """An `eviction.Rank`."""
    is_pinned: bool


class StoredJob(NamedTuple):
    """A row of the table ``job``. ``path`` is a key, or a prefix that ends in ``/`` or is empty."""

    number: int
    path: str
    is_paused: bool = False


@dataclass(frozen=True, slots=True)
class Totals:
    """What is cached of the current versions of a key or below a prefix, added up.

    ``allocated`` is what all versions take on the disk, superseded ones too.
    """

    objects: int = 0
    complete: int = 0
    verified: int = 0
    pinned: int = 0
    parts: int = 0
    parts_present: int = 0
    bytes: int = 0
    bytes_present: int = 0
    allocated: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


class StoredFile(NamedTuple):
    """What a row says of its data files: how their names end, and what they take on the disk."""

    suffix: str
    allocated: int


@dataclass(frozen=True, slots=True)
class StoredParts:
    """All parts of an entry: packed bitmaps, and little-endian CRCs of eight bytes a part."""

    written: bytes
    synced: bytes
    crcs: bytes


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part that the catalogue has, and its CRC-64."""

    number: int
    crc: int


@dataclass(frozen=True, slots=True)
class PartRun:
    """Consecutive parts from ``first`` on and their CRCs, eight little-endian bytes each."""

    first: int
    crcs: bytes

    @property
    def parts(self) -> range:
        """The parts of this run."""
        return range(self.first, self.first + len(self.crcs) // CRC_BYTES)


@dataclass(frozen=True, slots=True)
class Generation:
    """One row, whose id is never used again: the only thing a change may be made for."""

    row_id: int
    geometry: Geometry


@dataclass(frozen=True, slots=True)
class EntryChanges:
    """What happened to an entry since its last commit."""

    runs: Sequence[PartRun]
    crc64: int | None
    is_verified: bool
    used_at: int
    """Unix milliseconds."""
    is_read: bool = False
    """Whether somebody read of it, and did not only have it fetched."""
    is_acquired: bool = False
    """Whether somebody opened it, because the bucket shows it as the current version."""
    allocated: int | None = None
    """What its data files take on the disk, in bytes; None if unknown or unchanged."""


def version_columns(version: ObjectVersion) -> tuple[bytes, bytes, int]:
    """The identity of ``version`` as stored."""
    return encoded(version.key), encoded(version.etag), version.size


def encoded(text: str) -> bytes:
    """Bytes of a key as the origin sent them."""
    return text.encode("utf-8", "surrogateescape")


def decoded(data: bytes) -> str:
    """The reverse of ``encoded``."""
    return data.decode("utf-8", "surrogateescape")


def signed(number: int) -> int:
    """An unsigned 64-bit number as SQLite's signed one."""
    return number - (1 << 64) if number >> 63 else number


def unsigned(number: int) -> int:
    """The reverse of ``signed``."""
    return number & 0xFFFFFFFFFFFFFFFF
