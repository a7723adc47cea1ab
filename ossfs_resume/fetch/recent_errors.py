"""What failed of late, and why: it is not asked for again for some seconds.

The kernel asks for a failed read-ahead again page by page, and the process that reads cannot be
killed in the meantime: the same question gets the same answer at once (`Failures`). Why a version
or a path failed last is remembered after nobody works on it any more (`LastErrors`).
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from ossfs_resume.errors import OssfsError, without_frames

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


MOST = 1000
"""A broken network may fail every object of a bucket; the newest errors are the ones asked for."""

K = TypeVar("K", bound=Hashable)


class LastErrors(Generic[K]):
    """The last error of each of the ``MOST`` versions, or paths, that failed last."""

    def __init__(self) -> None:
        self._errors: dict[K, OssfsError] = {}

    def __len__(self) -> int:
        return len(self._errors)

    def of(self, failed: K) -> OssfsError | None:
        """Its last error."""
        return self._errors.get(failed)

    def keep(self, failed: K, error: OssfsError | None) -> None:
        """It failed; or (None) all is well with it."""
        self._errors.pop(failed, None)
        if error is not None:
            self._errors[failed] = without_frames(error)
        if len(self._errors) > MOST:
            del self._errors[next(iter(self._errors))]

    def forget(self, which: Callable[[K], bool]) -> None:
        """All is well with these."""
        for failed in filter(which, list(self._errors)):
            del self._errors[failed]

    def newest_first(self) -> Iterator[tuple[K, OssfsError]]:
        """All that are remembered."""
        return reversed(self._errors.items())
