"""Why something failed last, remembered after nobody works on it any more."""

from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

from ossfs_resume.errors import OssfsError, without_frames

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
