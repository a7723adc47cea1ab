"""How far ahead of a reader to fetch.

The kernel's own read-ahead arrives out of order: two or more requests of one reader are under way
at once and overtake each other. Strict equality of "where the last read ended" and "where this one
starts" therefore never sees a sequential reader. A read continues a run if it starts *near* the
run's frontier instead.

A reader earns its window. Thumbnailers, indexers and ``file`` read the beginning of everything, and
what is fetched is paid for: up to the first 10 MB of a run no more than twice of what was read has
been fetched, and the kernel's own read-ahead counts, whose reads look like a reader's. Whoever read
so much is taken for one that reads to the end, and reaches the limit within a few round trips. A
random read costs its own parts and nothing else.
"""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB

NEAR_BYTES = 4 * MIB
"""How far from the frontier a read may start: more than the kernel's own read-ahead spans."""

KERNEL_AHEAD_BYTES = 1 * MIB
"""How much of a run may have been read by the kernel alone: two of its windows."""

CAREFUL_BYTES = 10 * MIB
"""Until a reader has read so much of a run, twice of that may have been fetched and no more."""

GROWTH = 8
"""Bytes fetched ahead for each byte of a longer run."""

SMALLEST_REQUEST_BYTES = 1 * MIB
PARALLEL_REQUESTS = 8
"""A window is cut into about this many requests, so that it is filled by parallel connections."""


@dataclass(slots=True)
class AccessPattern:
    """What one open file has read of late: a run of reads, each near the frontier of the others.

    A file that is read from its first byte is taken for sequential at once; any other first read
    is taken for random until a second one continues it.
    """

    frontier: int = 0
    run_bytes: int = 0
    planned: int = 0
    """Offset up to which requests for this run have been planned."""

    def advance(self, offset: int, length: int) -> int:
        """Take note of a read and return the bytes read in its run; 0 for a random read."""
        is_first = self.frontier == 0
        if offset == 0 if is_first else abs(offset - self.frontier) <= NEAR_BYTES:
            self.frontier = max(self.frontier, offset + length)
            self.run_bytes += length
            return self.run_bytes
        self.frontier, self.run_bytes, self.planned = offset + length, length, 0
        return 0


def window(run_bytes: int, limit_bytes: int) -> int:
    """Bytes to hold ready beyond the end of the current read."""
    if is_careful(run_bytes):
        return min(max(run_bytes - 2 * KERNEL_AHEAD_BYTES, 0), limit_bytes)
    return min(GROWTH * run_bytes, limit_bytes)


def is_careful(run_bytes: int) -> bool:
    """Whether the reader of a run may still be one that looks at its beginning only."""
    return run_bytes - KERNEL_AHEAD_BYTES <= CAREFUL_BYTES


def share(limit_bytes: int, room_bytes: float, readers: int) -> int:
    """The window of one of ``readers``: together they take half of the room in the cache, lest what
    is fetched for one push out what is fetched for another before it is read."""
    return int(min(limit_bytes, room_bytes / 2 / max(readers, 2)))


def request_bytes(window_bytes: int, limit_bytes: int) -> int:
    """Size of the requests that fill a window: a power of two, at most ``limit_bytes``."""
    share = max(window_bytes // PARALLEL_REQUESTS, SMALLEST_REQUEST_BYTES)
    return min(1 << (share.bit_length() - 1), limit_bytes)


def target(
    stop: int, window_bytes: int, step_bytes: int, size: int, *, round_up: bool = True
) -> int:
    """The offset up to which to fetch, for a read that ends at ``stop``.

    A multiple of the request size, or ``stop``: otherwise each small read would move the target by
    its own length and leave behind requests of one part each.
    """
    if window_bytes == 0:
        return min(stop, size)
    slack = step_bytes - 1 if round_up else 0
    return min(max((stop + window_bytes + slack) // step_bytes * step_bytes, stop), size)


def parts_between(planned: int, target: int, first: int, part_size: int) -> range:
    """The parts to request now, from part ``first`` on, so that ``target`` is reached: those that
    begin before ``planned`` were requested before."""
    return range(max(planned // part_size, first), -(-target // part_size))
