"""A lane: connections of its own, the queue before them, and the second attempts beside them.

A client has two, one for metadata and one for data, so that a listing gets through however many
ranges stall. Both share nothing but the pace, which makes each of them narrower.
"""

from collections import Counter
from contextlib import AbstractAsyncContextManager
from math import inf
from typing import Generic, Protocol, TypeVar

import trio

from ossfs_resume.oss.hedging import Contests, Hedges
from ossfs_resume.oss.request import Request
from ossfs_resume.oss.wire import Headers

SILENCES_PER_BUDGET = 3
"""A connection that falls silent is given up early enough for two more attempts,"""

LEAST_SILENCE_S = 5.0
"""but not before an origin that is merely slow would have answered."""

SPARE_CONNECTIONS = 2
"""Of either lane, for second attempts; more never run at once."""


class Reply(Protocol):
    """The head of an answer, and its body if that is an error's."""

    status: int
    headers: Headers

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises BadAnswer if it is longer than ``limit`` bytes."""


R_co = TypeVar("R_co", bound=Reply, covariant=True)


class Asker(Protocol[R_co]):
    """What sends the requests of a lane."""

    def send(self, request: Request) -> AbstractAsyncContextManager[R_co]:
        """The answer, from its head on. Raises OriginError."""

    async def aclose(self) -> None:
        """Close all connections."""


class Lane(Generic[R_co]):
    """The queue before ``asker``, which is fair and survives cancellation, and what is counted."""

    def __init__(self, asker: Asker[R_co], connections: int) -> None:
        self.asker = asker
        self.slots = trio.CapacityLimiter(connections)
        self.contests = Contests(Hedges(SPARE_CONNECTIONS))
        self.counts: Counter[str] = Counter()
        self._connections = connections

    def narrow(self, share: float) -> None:
        """Let ``share`` of the usual number of requests run at once, one at least."""
        self.slots.total_tokens = max(int(self._connections * share), 1)


def silence_s(budget_s: float) -> float:
    """Seconds without a byte after which a connection is given up; infinite without a budget."""
    return min(max(budget_s / SILENCES_PER_BUDGET, LEAST_SILENCE_S), budget_s) or inf
