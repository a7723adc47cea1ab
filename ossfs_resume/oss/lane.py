"""A lane: connections of its own, the queue before them, and the second attempts beside them.

A client has two, one for metadata and one for data, so that a listing gets through however many
ranges stall. Both share nothing but the pace, which makes each of them narrower.
"""

import ssl
from math import inf

import trio

from ossfs_resume.oss.hedging import Hedges
from ossfs_resume.oss.settings import ClientSettings
from ossfs_resume.oss.transport import Transport

SILENCES_PER_BUDGET = 3
"""A connection that falls silent is given up early enough for two more attempts,"""

LEAST_SILENCE_S = 5.0
"""but not before an origin that is merely slow would have answered."""

SPARE_CONNECTIONS = 2
"""Of either lane, for second attempts; more never run at once."""


class Lane:
    """A pool of connections and the queue before it, which is fair and survives cancellation."""

    def __init__(self, settings: ClientSettings, connections: int, context: ssl.SSLContext) -> None:
        self.slots = trio.CapacityLimiter(connections)
        self.hedges = Hedges(SPARE_CONNECTIONS)
        self._connections = connections
        self.transport = Transport(
            settings.endpoint.base_url,
            connections=connections + SPARE_CONNECTIONS,
            silence_s=silence_s(settings.timeout_s),
            context=context,
            proxy=settings.proxy,
        )

    def narrow(self, share: float) -> None:
        """Let ``share`` of the usual number of requests run at once, one at least."""
        self.slots.total_tokens = max(int(self._connections * share), 1)


def silence_s(budget_s: float) -> float:
    """Seconds without a byte after which a connection is given up; infinite without a budget."""
    return min(max(budget_s / SILENCES_PER_BUDGET, LEAST_SILENCE_S), budget_s) or inf
