"""Work that a verb starts: short work is waited for, long work goes on in the background."""

from collections.abc import Awaitable, Callable

import trio

from ossfs_resume.supervision import explained, supervised

PATIENCE_S = 2.0
"""How long a verb may keep its caller waiting for the outcome."""


class Errands:
    """Runs work in a nursery that outlives every call."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    async def run(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Start ``work`` and wait a while for it. Raises what it raised by then; what comes later
        goes to the log, where ``name`` says whose it is."""
        outcome: list[Exception | None] = []
        ended = trio.Event()
        self._nursery.start_soon(self._perform, work, outcome, ended)
        with trio.move_on_after(PATIENCE_S):
            await ended.wait()
        if not outcome:
            self._nursery.start_soon(self._report, name, outcome, ended)
        elif outcome[0] is not None:
            raise outcome[0]

    async def _perform(
        self,
        work: Callable[[], Awaitable[None]],
        outcome: list[Exception | None],
        ended: trio.Event,
    ) -> None:
        try:
            await work()
        except Exception as error:
            outcome.append(error)
        else:
            outcome.append(None)
        ended.set()

    async def _report(self, name: str, outcome: list[Exception | None], ended: trio.Event) -> None:
        await ended.wait()
        if outcome[0] is not None:
            explained(name, outcome[0])

    def begin(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Start ``work``; what it raises goes to the log."""
        self._nursery.start_soon(supervised, name, work)
