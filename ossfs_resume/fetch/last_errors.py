"""Why an object could not be read last, remembered after nobody has it open any more."""

from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.errors import OssfsError

MOST = 1000
"""A broken network may fail every object of a bucket; the newest errors are the ones asked for."""


class LastErrors:
    """The last error of each of the ``MOST`` versions that failed last."""

    def __init__(self) -> None:
        self._errors: dict[ObjectVersion, OssfsError] = {}

    def of(self, version: ObjectVersion) -> OssfsError | None:
        """The last error of this version."""
        return self._errors.get(version)

    def keep(self, version: ObjectVersion, error: OssfsError | None) -> None:
        """The version failed; or (None) all is well with it."""
        self._errors.pop(version, None)
        if error is not None:
            self._errors[version] = error
        if len(self._errors) > MOST:
            del self._errors[next(iter(self._errors))]
