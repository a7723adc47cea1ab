"""Waiting for something to become true, instead of sleeping and hoping."""

import time
from collections.abc import Callable

PATIENCE_S = 30.0
"""For what comes at once unless it never comes: far more than a loaded machine takes for it."""

PAUSE_S = 0.01


def eventually(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Return when ``condition`` holds. Raises AssertionError if it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(PAUSE_S)
