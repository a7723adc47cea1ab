"""Deals with what processes left behind that were killed: files and space that nobody counts.

A crash between the clearing of a row and the unlink, or a power cut that took a young row back,
leaves a file without a row; it is removed. The rule that makes this safe beside other living
processes: a row is committed before its file is created and renamed before it is unlinked. So a
file that was seen in the folder, and whose name no row has when the catalogue is asked
*afterwards*, can never become present; a process that still has it open goes on with its
descriptor.

What was written and not yet committed takes room that no row tells of; it is counted, or the cache
would grow beyond its limits by that much with every crash, and eviction would not see it. This is
safe beside others as well: they count in their transactions, too, and the last one is right.

Small objects have rows in two databases, and a crash leaves either without the other.

A million files take 20 s of a processor that the mount wants at the same moment, so the pass rests
most of the time.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ossfs_resume.cache.catalog import Catalog
from ossfs_resume.cache.data_file import DataFolder, FoundFile
from ossfs_resume.cache.small_objects import Blobs
from ossfs_resume.errors import CacheError

_log = logging.getLogger(__name__)

_REST = 4
"""Seconds of rest for each second of work."""

_IDS = 1024
"""Small objects that are looked at in a step."""

_Files = Mapping[int, Sequence[FoundFile]]
"""The data files of each row."""


class Leftovers:
    """One pass over all data files and small objects, in a thread of its own."""

    def __init__(self, catalog: Catalog, data: DataFolder, blobs: Blobs) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._data = data
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cache-leftovers", daemon=True)

    def start(self) -> None:
        """Start the pass."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the folder it is in."""
        self._is_stopping.set()
        if self._thread.ident is not None:  # else it could not be started
            self._thread.join()

    def wait(self) -> None:
        """Wait until the pass is over."""
        self._thread.join()

    def _run(self) -> None:
        removed = 0
        try:
            began = time.monotonic()
            for count in self._steps():
                removed += count
                if self._is_stopping.wait(_REST * (time.monotonic() - began)):
                    return
                began = time.monotonic()
        except (OSError, CacheError) as error:
            _log.warning("cannot look for what killed processes left in the cache: %s", error)
        if removed:
            _log.info("removed %d data files and rows that nothing referred to", removed)

    def _steps(self) -> Iterator[int]:
        """Some work, and how much was removed by it, again and again."""
        for files in self._data.listing():
            yield self._look(files)
        if self._blobs.is_usable:
            last = max(self._catalog.last_row_id(), self._blobs.last_id())
            for first in range(1, last + 1, _IDS):
                yield self._reconcile(range(first, first + _IDS))

    def _reconcile(self, ids: range) -> int:
        """Small objects: remove bytes that no row of the catalogue names, and say of rows without
        bytes that they are absent; how many bytes' rows were removed.

        Inside one transaction of the catalogue, for others commit bytes before their marks.
        """
        with self._catalog.transaction() as transaction:
            named, kept = transaction.blobs(ids), self._blobs.ids(ids)
            for row_id in named.keys() - kept:
                transaction.clear_parts(named[row_id], [range(1)])
                transaction.set_allocated(row_id, 0)
            self._blobs.delete(kept - named.keys())
        return len(kept - named.keys())

    def _look(self, files: Sequence[FoundFile]) -> int:
        """Deal with one folder; how many files were removed."""
        stored = self._catalog.files({file.row_id for file in files})
        orphans, known = [], defaultdict(list)
        for file in files:
            if file.row_id in stored and stored[file.row_id].suffix == file.suffix:
                known[file.row_id].append(file)
            else:
                orphans.append(file)
        for file in orphans:
            file.directory.unlink(file.name)
        self._count(
            {
                row_id: found
                for row_id, found in known.items()
                if _taken(found) != stored[row_id].allocated
            }
        )
        return len(orphans)

    def _count(self, miscounted: _Files) -> None:
        if miscounted:
            with self._catalog.transaction() as transaction:
                for row_id, found in miscounted.items():
                    transaction.set_allocated(row_id, _taken(found))


def _taken(files: Sequence[FoundFile]) -> int:
    """The bytes that the disk has given to these files."""
    found = (file.directory.stat(file.name) for file in files)
    return sum(status.st_blocks for status in found if status is not None) * 512
