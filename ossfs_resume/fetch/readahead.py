"""How far ahead of a reader to fetch.

The kernel's own read-ahead arrives out of order: two or more requests of one reader are under way
at once and overtake each other. Strict equality of "where the last read ended" and "where this one
starts" therefore never sees a sequential reader. A read continues a run if it starts *near* the
run's frontier instead.

The window is a multiple of what the run has read, so a reader earns it: a random read costs its
own parts and nothing else, a reader that goes on reaches the limit after few round trips.
"""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB

NEAR_BYTES = 4 * MIB
"""How far from the frontier a read may start: more than the kernel's own read-ahead spans."""

GROWTH = 4
"""Bytes fetched ahead for each byte of the run."""

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
    return min(GROWTH * run_bytes, limit_bytes)


def share(limit_bytes: int, room_bytes: float, readers: int) -> int:
    """The window of one of ``readers``: together they take half of the room in the cache, lest what
    is fetched for one push out what is fetched for another before it is read."""
    return int(min(limit_bytes, room_bytes / 2 / max(readers, 2)))


def request_bytes(window_bytes: int, limit_bytes: int) -> int:
    """Size of the requests that fill a window: a power of two, at most ``limit_bytes``."""
    share = max(window_bytes // PARALLEL_REQUESTS, SMALLEST_REQUEST_BYTES)
    return min(1 << (share.bit_length() - 1), limit_bytes)


def target(stop: int, window_bytes: int, step_bytes: int, size: int) -> int:
    """The offset up to which to fetch, for a read that ends at ``stop``.

    Rounded up to a multiple of the request size: otherwise each small read would move the target
    by its own length and leave behind requests of one part each.
    """
    if window_bytes == 0:
        return min(stop, size)
    return min(-(-(stop + window_bytes) // step_bytes) * step_bytes, size)


def parts_between(planned: int, target: int, first: int, part_size: int) -> range:
    """The parts to request now, from part ``first`` on, so that ``target`` is reached: those that
    begin before ``planned`` were requested before."""
    return range(max(planned // part_size, first), -(-target // part_size))
