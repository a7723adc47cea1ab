"""Removing entries from a disk that fails in the middle of it."""

import errno
import threading
from contextlib import suppress
from typing import Any

from ossfs_resume.cache import CacheSettings, CacheStore
from ossfs_resume.cache.data_file import DataFile
from ossfs_resume.errors import CacheError
from support.waiting import PATIENCE_S

Parts = Any  # of conftest.py


class FailingClose(DataFile):
    """Its descriptors are closed, but that is not what it says."""

    is_ill = False

    def close(self) -> None:
        super().close()
        if self.is_ill:
            raise OSError(errno.EIO, "Input/output error")


def test_a_version_that_could_not_be_let_go_of_can_be_acquired_again(
    settings: CacheSettings, parts: Parts
) -> None:
    store = CacheStore.open(settings, data_file=FailingClose)
    versions = [parts.version(2, key=key) for key in ("a", "b")]
    for version in versions:
        entry = store.acquire(version)
        parts.write(entry, 0, 2)
        parts.close(store, entry)
    FailingClose.is_ill = True
    with suppress(CacheError, OSError):
        store.keeper.evict_below("")
    FailingClose.is_ill = False
    acquired = []
    thread = threading.Thread(
        target=lambda: acquired.extend(store.acquire(version) for version in versions), daemon=True
    )
    thread.start()
    thread.join(PATIENCE_S)
    assert [entry.version for entry in acquired] == versions
    store.abandon()
