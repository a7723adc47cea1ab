"""What could not be had of late: the same question gets the same answer at once.

The kernel asks for a failed read-ahead again page by page, and the process that reads cannot be
killed in the meantime. So a range that failed is not asked for again for a few seconds.
"""

from dataclasses import dataclass

from ossfs_resume.errors import OssfsError

REMEMBERED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Failure:
    """Parts that could not be had, and until when to say so without asking again."""

    parts: range
    error: OssfsError
    until: float


class Failures:
    """Those of one object version. Times are seconds of any one clock."""

    def __init__(self) -> None:
        self._failures: list[Failure] = []

    def __len__(self) -> int:
        """How many there are; those that are too old go when somebody asks the next time."""
        return len(self._failures)

    def __repr__(self) -> str:
        return f"<Failures {self._failures!r}>"

    def add(self, parts: range, error: OssfsError, now: float) -> None:
        """``parts`` could not be had."""
        self._failures.append(Failure(parts, error, now + REMEMBERED_SECONDS))

    def of(self, parts: range, now: float) -> OssfsError | None:
        """The remembered failure that one of ``parts`` falls under; forgets what is too old."""
        self._failures = [failure for failure in self._failures if failure.until > now]
        for failure in self._failures:
            if failure.parts.start < parts.stop and parts.start < failure.parts.stop:
                return failure.error
        return None
