"""A part is marked when its bytes are in the file that counts, and not otherwise."""

import errno
import os
import threading
from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore
from ossfs_resume.cache.data_file import DataFile
from ossfs_resume.errors import CacheError
from support.waiting import PATIENCE_S

Parts = Any  # of conftest.py


def test_a_part_of_the_wrong_length_is_refused(store: CacheStore, parts: Parts) -> None:
    entry = store.acquire(parts.version(2))
    with pytest.raises(ValueError, match="part 1"):
        entry.write_parts(0, [[bytes(parts.SIZE)], [b"short"]])
    assert entry.progress.present_count == 0


class DiscardedWhileWriting(DataFile):
    """Lets the test act between the write into the file and the marking of the part."""

    written = threading.Event()
    go_on = threading.Event()

    def write(self, offset: int, chunks: Any) -> None:
        super().write(offset, chunks)
        self.written.set()
        assert self.go_on.wait(PATIENCE_S)


def test_a_writer_that_is_overtaken_by_a_discard_marks_nothing(
    settings: CacheSettings, parts: Parts
) -> None:
    store = CacheStore.open(settings, data_file=DiscardedWhileWriting)
    entry = store.acquire(parts.version(2))
    refused: list[CacheError] = []

    def write() -> None:
        try:
            parts.write(entry, 0, 2)
        except CacheError as error:
            refused.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    assert DiscardedWhileWriting.written.wait(PATIENCE_S)
    store.discard(entry)
    DiscardedWhileWriting.go_on.set()
    writer.join()
    assert len(refused) == 1
    assert entry.progress.present_count == 0
    assert store.cached_bytes([parts.version(2)]) == [0]
    store.close()


class FullDisk(DataFile):
    def write(self, offset: int, chunks: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_failed_write_keeps_its_cause_and_marks_nothing(
    settings: CacheSettings, parts: Parts
) -> None:
    store = CacheStore.open(settings, data_file=FullDisk)
    entry = store.acquire(parts.version(2))
    with pytest.raises(CacheError, match="no space left") as raised:
        parts.write(entry, 0, 2)
    assert isinstance(raised.value.__cause__, OSError)
    assert entry.progress.present_count == 0
    store.close()
