"""Whether the origin answers: one line when it stops, and one when it is back.

Everything that asks fails then, each for itself and again and again. What they say of it is said
here, once; errors that come of it are marked (`OssfsError.is_told`), so that whoever passes one on
can leave it at a debug message.
"""

import logging
from dataclasses import dataclass

from ossfs_resume.errors import OriginError, OriginTimeout, ServerFailed, Unreachable

log = logging.getLogger(__name__)

FAILURES = 3
"""So many in a row, with no answer between, are an outage: one may be a server of many."""


@dataclass(slots=True)
class Outage:
    """Of the origin that messages call ``name``. Times are seconds of any one clock."""

    name: str
    began: float | None = None
    _failures: int = 0
    _first_failure: float = 0.0

    def failed(self, error: OriginError, now: float) -> None:
        """An attempt had no answer, or that of a server that failed."""
        if not isinstance(error, Unreachable | OriginTimeout | ServerFailed):
            return
        if not self._failures:
            self._first_failure = now
        self._failures += 1
        if self._failures >= FAILURES and self.began is None:
            self.began = self._first_failure
            reason = str(error).removeprefix(f"{self.name}: ")
            log.warning(
                "%s does not answer: %s; what is cached is served, the rest is tried again",
                self.name, reason, extra=error.fields,
            )  # fmt: skip
        error.is_told = self.began is not None

    def answered(self, now: float) -> None:
        """An answer came, whatever it says."""
        self._failures = 0
        if self.began is not None:
            log.info("%s answers again, after %.0f s", self.name, now - self.began)
            self.began = None
