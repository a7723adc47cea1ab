"""For tests under a mock clock that jumps when all tasks wait: one that waits for a thread does."""

from collections.abc import Callable

import pytest
import trio


def answer_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run on the event loop what would go to a thread."""

    async def run_here(function: Callable[..., object], *args: object, **options: object) -> object:
        await trio.lowlevel.checkpoint()
        return function(*args)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_here)
