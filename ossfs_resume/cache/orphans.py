"""Removes data files that no row names.

A crash between the clearing of a row and the unlink, or a power cut that took a young row back,
leaves a file without a row. The rule that makes removal safe beside other living processes: a row
is committed before its file is created and renamed before it is unlinked. So a file that was seen
in the folder, and whose name no row has when the catalogue is asked *afterwards*, can never become
present; a process that still has it open goes on with its descriptor.
"""

import logging
import threading
from pathlib import Path

from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.datafolder import DataFolder
from ossfs_resume.errors import CacheError

_log = logging.getLogger(__name__)


class OrphanRemoval:
    """One pass over all data files, in a thread of its own."""

    def __init__(self, catalog: Catalog, data: DataFolder) -> None:
        self._catalog = catalog
        self._data = data
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cache-orphans", daemon=True)

    def start(self) -> None:
        """Start the pass."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the folder it is in."""
        self._is_stopping.set()
        self._thread.join()

    def wait(self) -> None:
        """Wait until the pass is over."""
        self._thread.join()

    def _run(self) -> None:
        removed = 0
        try:
            for files in self._data.listing():
                if self._is_stopping.is_set():
                    return
                removed += self._remove_orphans(files)
        except (OSError, CacheError) as error:
            _log.warning("cannot look for data files that nothing refers to: %s", error)
        if removed:
            _log.info("removed %d data files that nothing referred to", removed)

    def _remove_orphans(self, files: list[tuple[int, str, Path]]) -> int:
        suffixes = self._catalog.file_suffixes({row_id for row_id, _, _ in files})
        orphans = [path for row_id, suffix, path in files if suffixes.get(row_id) != suffix]
        for path in orphans:
            path.unlink(missing_ok=True)
        return len(orphans)
