"""What a mount notes beside objects: that it was here, its jobs, and what the origin said.

Jobs and the first mount are durable when a call returns: nobody is told that a job was accepted
which a power cut may take back. What the origin said may be lost, for it can be asked again.
"""

from collections.abc import Mapping

from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.models import StoredJob
from ossfs_resume.cache.remembered import DirectoryTime, Remembered
from ossfs_resume.errors import CacheError

_KNOWN = "mounted"


class Notes:
    """Methods may block unless they say otherwise, and raise CacheError."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._is_new = _is_new(catalog)

    # --- whether the bucket is known ---

    @property
    def is_new(self) -> bool:
        """Whether ``mark_known`` was never called for this store. Memory only."""
        return self._is_new

    def mark_known(self) -> None:
        """Remember that this store was mounted once."""
        if self._is_new:
            self._add_known()
            self._is_new = False

    def unmark_known(self) -> None:
        """It was not mounted after all."""
        with self._catalog.transaction(durable=True) as transaction:
            transaction.remove_fact(_KNOWN)
        self._is_new = True

    def begun_anew(self) -> None:
        """The catalogue is another one; the bucket is as well known as it was."""
        if not self._is_new:
            self._add_known()

    def _add_known(self) -> None:
        with self._catalog.transaction(durable=True) as transaction:
            transaction.add_fact(_KNOWN)

    # --- jobs ---

    def add_job(self, path_key: str) -> int:
        """Remember a job durably and return its number."""
        with self._catalog.transaction(durable=True) as transaction:
            return transaction.add_job(path_key)

    def jobs(self) -> list[StoredJob]:
        """Every job, oldest first."""
        return self._catalog.jobs()

    def remove_job(self, job_id: int) -> None:
        """Forget a job; does nothing if there is none."""
        with self._catalog.transaction(durable=True) as transaction:
            transaction.remove_job(job_id)

    def remove_jobs(self, path: str) -> int:
        """Forget the jobs for a key, or for all at and below a prefix; how many that were."""
        with self._catalog.transaction(durable=True) as transaction:
            return transaction.remove_jobs(path)

    def pause_jobs(self, path: str, *, is_paused: bool) -> None:
        """Remember that the jobs for a key, or for all at and below a prefix, shall wait, or not
        any more."""
        with self._catalog.transaction(durable=True) as transaction:
            transaction.pause_jobs(path, is_paused=is_paused)

    # --- what the origin said ---

    def remember(self, news: Remembered) -> None:
        """Keep what the origin said of names, for a mount that cannot ask it."""
        with self._catalog.transaction() as transaction:
            transaction.remember(news)

    def recall_listing(self, prefix: str) -> list[bytes]:
        """The pages that were kept of a listing; none if there is none."""
        return self._catalog.recall_listing(prefix)

    def recall_answer(self, key: str) -> bytes | None:
        """What was kept of a lookup."""
        return self._catalog.recall_answer(key)

    def recall_directories(self) -> Mapping[str, DirectoryTime]:
        """The times of directories that were kept."""
        return self._catalog.recall_directories()


def _is_new(catalog: Catalog) -> bool:
    """Whether the store was never mounted; one that cannot say so at this moment was."""
    try:
        return not catalog.has_fact(_KNOWN)
    except CacheError:
        return False
