"""Which ranged requests to send for the parts that somebody wants, which one goes next, and how
many run at once: pure decisions.

Order: what a reader waits for, then read-ahead, then siblings, then background. Within a
priority the objects take turns, so that one reader's long queue does not hold up another's.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from enum import IntEnum
from typing import Generic, TypeVar


def unclaimed(missing: Iterable[range], is_claimed: Callable[[int], bool]) -> Iterator[range]:
    """The runs of ``missing`` parts that no request, queued or running, covers yet."""
    for run in missing:
        start = None
        for part in run:
            if is_claimed(part):
                if start is not None:
                    yield range(start, part)
                start = None
            elif start is None:
                start = part
        if start is not None:
            yield range(start, run.stop)


def requests(runs: Iterable[range], request_parts: int) -> Iterator[range]:
    """Cut runs into requests of at most ``request_parts`` parts that end at multiples of it.

    Cuts at fixed places keep the requests of successive windows apart without remainders.
    """
    for run in runs:
        start = run.start
        while start < run.stop:
            stop = min((start // request_parts + 1) * request_parts, run.stop)
            yield range(start, stop)
            start = stop


def parts_in(size_bytes: int, part_size: int) -> int:
    """How many parts a request of about this size has; one at least."""
    return max(size_bytes // part_size, 1)


class Priority(IntEnum):
    """Lower goes first."""

    DEMAND = 0
    READ_AHEAD = 1
    SIBLING = 2
    BACKGROUND = 3


Item = TypeVar("Item", bound=Hashable)


class Queue(Generic[Item]):
    """Items by priority, taking turns among their owners. All operations are O(1) amortised."""

    def __init__(self) -> None:
        self._levels: dict[Priority, OrderedDict[Hashable, deque[Item]]] = {
            priority: OrderedDict() for priority in Priority
        }
        self._where: dict[Item, tuple[Priority, Hashable]] = {}

    def __len__(self) -> int:
        return len(self._where)

    def push(self, item: Item, owner: Hashable, priority: Priority) -> None:
        """Queue ``item``, or move it if it is queued already with another priority."""
        self._where[item] = (priority, owner)
        self._levels[priority].setdefault(owner, deque()).append(item)

    def discard(self, item: Item) -> None:
        """Forget ``item`` if it is queued."""
        self._where.pop(item, None)

    def pop(self, lowest: Priority = Priority.BACKGROUND) -> Item | None:
        """The next item that is at least as urgent as ``lowest``; None if there is none."""
        for priority in Priority:
            if priority > lowest:
                break
            item = self._pop_from(priority)
            if item is not None:
                return item
        return None

    def _pop_from(self, priority: Priority) -> Item | None:
        level = self._levels[priority]
        while level:
            owner, items = level.popitem(last=False)
            item = self._first_valid(items, priority, owner)
            if items:
                level[owner] = items
            if item is not None:
                del self._where[item]
                return item
        return None

    def _first_valid(self, items: deque[Item], priority: Priority, owner: Hashable) -> Item | None:
        while items:
            item = items.popleft()
            # What was moved or forgotten meanwhile is skipped here instead of searched for there.
            if self._where.get(item) == (priority, owner):
                return item
        return None


SLOW_LINK_SECONDS = 5.0
FEWEST_REQUESTS = 2
UNKNOWN_LINK_REQUESTS = 6
MOST_RESERVED = 4


def concurrency(bytes_per_second: float | None, unfinished_bytes: int, limit: int) -> int:
    """How many requests may run at once.

    What a kill loses are the unfinished parts, one for each running request; on a slow link they
    must stay under five seconds of transfer. Where the rate grows with the number of requests
    (each connection is limited, not the link) so does the number. Unknown rate: a few.
    ``unfinished_bytes`` is the most that one of the running requests may lose: a small object loses
    no more than itself.
    """
    if bytes_per_second is None:
        return min(UNKNOWN_LINK_REQUESTS, limit)
    affordable = int(bytes_per_second * SLOW_LINK_SECONDS / max(unfinished_bytes, 1))
    return min(max(affordable, FEWEST_REQUESTS), limit)


def reserved_for_demand(limit: int) -> int:
    """Requests that read-ahead and background leave free, for a reader who waits."""
    return min(max(limit // 8, 1), MOST_RESERVED) if limit > 1 else 0


def least_urgent(running: int, demanded: int, allowed: int, limit: int) -> Priority | None:
    """The least urgent priority that may start now; None if nothing may.

    ``demanded`` of the ``running`` requests bring what a reader waits for. ``allowed`` is what the
    link affords, ``limit`` what is never passed. A link that turned slow may leave more running
    than it affords: long requests that nobody waits for. A reader is not made to wait for their
    end; the places kept for demand are there all the same.
    """
    reserved = reserved_for_demand(allowed)
    if allowed - running > reserved:
        return Priority.BACKGROUND
    if running < allowed or (demanded < reserved and running < limit):
        return Priority.DEMAND
    return None
