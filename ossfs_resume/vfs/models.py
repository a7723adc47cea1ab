"""Values that the tree hands to its caller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple, overload

from ossfs_resume.errors import NoSuchName

RECALL_S = 2.0
"""Before the origin is asked."""
OFFLINE_RECALL_S = 30.0
"""There is nobody else to ask; a hundred thousand names take seconds on a busy machine."""


@dataclass(frozen=True, slots=True)
class TreeSettings:
    """How long, in seconds, what the origin said is taken for true without asking again.

    A minute is what a listing of a busy bucket may be behind without surprise; absence is
    believed for less time, because whoever asked for a name usually expects it to appear.
    """

    metadata_ttl_s: float = 60.0
    negative_ttl_s: float = 5.0
    timeout_s: float = inf
    """How long the client below tries before it gives a request up."""
    recall_s: float = RECALL_S
    """How long somebody who knows nothing waits for what the cache keeps of earlier answers."""


class Attributes(NamedTuple):
    """What stat says of an inode.

    A named tuple, like `Listed`: a listing makes one for each name, and a frozen dataclass costs
    three times as much to make.

    ``size`` and ``allocated_bytes`` (what is cached of it) are in bytes, ``modified_ns`` in Unix
    nanoseconds. ``valid_s`` is how long the kernel may keep this. A directory whose names nobody
    may list, but whose known paths open, is not ``listable``.
    """

    inode: int
    is_directory: bool
    size: int
    allocated_bytes: int
    modified_ns: int
    valid_s: float
    listable: bool = True
    is_link: bool = False


class Listed(NamedTuple):
    """A name and what it stands for, with the seconds the kernel may keep that connection.

    ``next_offset`` is where a directory is read on after this entry.
    """

    name: bytes
    attributes: Attributes
    next_offset: int
    valid_s: float


class Portion(Sequence[Listed]):
    """Consecutive entries of a listing, column by column; a million of them pass by.

    ``others`` has the attributes of what is no plain file, or is being fetched, by index; for those
    the columns mean nothing. ``valid_s`` is for the names, ``attributes_valid_s`` for the
    attributes of the files.
    """

    __slots__ = (
        "allocated_bytes",
        "attributes_valid_s",
        "first_offset",
        "inodes",
        "modified_s",
        "names",
        "others",
        "place",
        "sizes",
        "valid_s",
    )

    def __init__(
        self,
        first_offset: int,
        names: Sequence[bytes],
        inodes: Sequence[int],
        sizes: Sequence[int],
        allocated_bytes: Sequence[int],
        modified_s: Sequence[int],
        others: Mapping[int, tuple[Attributes, float]],
        valid_s: float,
        attributes_valid_s: float,
        place: object = None,
    ) -> None:
        self.first_offset = first_offset
        self.names = names
        self.inodes = inodes
        self.sizes = sizes
        self.allocated_bytes = allocated_bytes
        self.modified_s = modified_s
        self.others = others
        self.valid_s = valid_s
        self.attributes_valid_s = attributes_valid_s
        self.place = place
        """Where it came from, for who told the kernel of it."""

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"<Portion {len(self)} from {self.first_offset}>"

    @overload
    def __getitem__(self, index: int) -> Listed: ...
    @overload
    def __getitem__(self, index: slice) -> "Sequence[Listed]": ...
    def __getitem__(self, index: int | slice) -> "Listed | Sequence[Listed]":
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        attributes, valid_s = self.others.get(index) or (self._file(index), self.valid_s)
        return Listed(self.names[index], attributes, self.first_offset + index + 1, valid_s)

    def _file(self, index: int) -> Attributes:
        return Attributes(
            self.inodes[index],
            False,
            self.sizes[index],
            self.allocated_bytes[index],
            self.modified_s[index] * 1_000_000_000,
            self.attributes_valid_s,
        )


class Opened(NamedTuple):
    """A file's handle and size in bytes, and whether the pages that the kernel has of the file are
    still true."""

    handle: int
    size: int
    pages_are_true: bool


class AbsentName(NoSuchName):
    """No object and no directory has this name; the kernel may remember that for ``valid_s``."""

    def __init__(self, name: bytes, valid_s: float) -> None:
        super().__init__(f"{name!r} does not exist")
        self.valid_s = valid_s


@dataclass(frozen=True, slots=True)
class TreeStatistics:
    """Counters since the tree was made, and what it holds at this moment."""

    nodes: int
    directories: int
    open_files: int
    list_requests: int
    head_requests: int
    lookups: int
    lookups_without_request: int
    stale_served: int
    hidden_keys: int
    origin_is_down: bool
