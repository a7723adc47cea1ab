"""What a download says while it runs, for whoever shows it: counts, and what happens to objects."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Outcome(StrEnum):
    """How it ended with one object."""

    DOWNLOADED = "downloaded"
    HERE = "here already"
    KEPT = "kept"
    """What is there was left alone, as it was wished."""
    PLANNED = "would be downloaded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Result:
    """One object. ``resumed`` are bytes of an earlier run or of a mount's cache that were used."""

    key: str
    target: Path
    outcome: Outcome
    size: int = 0
    resumed: int = 0
    error: Exception | None = None


@dataclass(slots=True)
class Report:
    """Counts in bytes; ``say`` is called with a line for a human when something unexpected happens,
    ``ended`` with each result."""

    say: Callable[[str], None] = lambda line: None
    ended: Callable[[Result], None] = lambda result: None
    total: int = 0
    resumed: int = 0
    done: int = 0
    running: dict[object, Callable[[], int]] = field(default_factory=dict)
    """How much of each object that is being downloaded is there."""

    @property
    def consumed(self) -> int:
        """What is there of all objects, by whichever run."""
        return self.done + sum(count() for count in self.running.values())
