"""Waiting for something to become true, instead of sleeping and hoping."""

import select
import time
from collections.abc import Callable, Iterable

PATIENCE_S = 30.0
"""For what comes at once unless it never comes: far more than a loaded machine takes for it."""

PAUSE_S = 0.01


def eventually(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Return when ``condition`` holds. Raises AssertionError if it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(PAUSE_S)


def all_within(descriptors: Iterable[int], limit_s: float) -> None:
    """Return when all descriptors are readable. Raises TimeoutError after ``limit_s`` seconds of
    this process's own sleep.

    A busy machine must not fail what has to come within seconds, and a generous limit would hide
    that it takes longer. So time is not the clock's but the number of pauses slept meanwhile: where
    the processor or the disk is busy each pause takes as much longer as the steps that are waited
    for, while every second for which these sleep by themselves counts fully.
    """
    poll = select.poll()
    left = set(descriptors)
    for descriptor in left:
        poll.register(descriptor, select.POLLIN)
    for _ in range(round(limit_s / PAUSE_S)):
        time.sleep(PAUSE_S)
        for descriptor, _events in poll.poll(0):
            poll.unregister(descriptor)
            left.remove(descriptor)
        if not left:
            return
    raise TimeoutError(f"{len(left)} did not end in {limit_s} s")
