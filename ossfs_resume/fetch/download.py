"""The state of fetching one object version: who fetches which part, and what failed of late."""

from dataclasses import dataclass, field
from typing import Protocol

import trio

from ossfs_resume.cache.entry import Entry
from ossfs_resume.errors import CorruptObject, NotFound, ObjectChanged, OssfsError
from ossfs_resume.fetch.recent_errors import Failures
from ossfs_resume.fetch.scheduler import Priority
from ossfs_resume.oss.models import ObjectMeta


class TransferSink(Protocol):
    """What can be seen of the bytes of a running transfer."""

    @property
    def has_unwritten_parts(self) -> bool:
        """Whether whole parts have arrived that nobody has taken up for writing yet."""

    @property
    def is_writing(self) -> bool:
        """Whether parts are on their way to the disk."""


@dataclass(eq=False, slots=True)
class Transfer:
    """One ranged request for the parts ``[first, stop)``, queued or running.

    ``moved`` is set, and replaced, each time parts were written or the transfer ended: a waiter
    looks at the bitmap again. ``last_byte`` is the time of the newest byte, None while queued.
    """

    download: "Download"
    first: int
    stop: int
    priority: Priority
    moved: trio.Event = field(default_factory=trio.Event)
    last_byte: float | None = None
    waiters: int = 0
    done: bool = False
    place: trio.Event | None = None
    """Set when it may go on, if it has left its place to wait for another process."""
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    sink: "TransferSink | None" = None
    """Where its bytes go, while they do."""
    unfinished_bytes: int = field(init=False)
    """The most that it can lose: one part, or an object smaller than that."""

    def __post_init__(self) -> None:
        geometry = self.download.entry.geometry
        self.unfinished_bytes = min(geometry.part_size, geometry.size)

    @property
    def parts(self) -> range:
        """The parts it brings."""
        return range(self.first, self.stop)

    @property
    def is_queued(self) -> bool:
        """Not started yet, or waiting for a place again."""
        return self.last_byte is None

    def narrow(self, first: int, stop: int) -> None:
        """Before it has begun: the parts outside are there, it need not bring them."""
        self.download.unclaim(self)
        self.first, self.stop = first, stop
        self.download.claim(self)
        self.wake()

    def wake(self) -> None:
        """Let every waiter look again."""
        self.moved.set()
        self.moved = trio.Event()

    def __repr__(self) -> str:
        state = "done" if self.done else "queued" if self.is_queued else "running"
        return f"<Transfer {self.first}..{self.stop} {self.priority.name} {state}>"


@dataclass(eq=False, slots=True)
class Download:
    """One object version that somebody has open, or that is being fetched to its end."""

    meta: ObjectMeta
    entry: Entry
    holders: int = 0
    running: int = 0
    claims: dict[int, Transfer] = field(default_factory=dict)
    """Part number to the one transfer that will bring it."""
    failures: Failures = field(default_factory=Failures)
    last_error: OssfsError | None = None
    stale: OssfsError | None = None
    """Why no missing part of this version can ever be had any more."""
    superseded: OssfsError | None = None
    """Why this is not the current version any more, though what is missing can still be had."""
    proof: trio.Lock = field(default_factory=trio.Lock)
    passed: dict[int, int] = field(default_factory=dict)
    """CRC-64 of each part that could not be kept, but went by."""
    proven: bool = False
    """The combined CRC-64 was compared with the origin's, or there is none to compare with."""

    def claim(self, transfer: Transfer) -> None:
        """``transfer`` and no other will bring its parts; what they complete is not proven yet."""
        self.proven = False
        for part in transfer.parts:
            self.claims[part] = transfer

    def unclaim(self, transfer: Transfer) -> None:
        """Parts that ``transfer`` did not bring are free for another."""
        for part in transfer.parts:
            if self.claims.get(part) is transfer:
                del self.claims[part]

    def failed(self, parts: range, error: OssfsError, now: float) -> None:
        """``parts`` could not be had, for a while or for good."""
        self.last_error = error
        if isinstance(error, ObjectChanged | NotFound | CorruptObject):
            self.stale = error
        else:
            self.failures.add(parts, error, now)
