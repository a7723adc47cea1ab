"""Small files, many at a time: to wait for the disk once for each would take most of the time.

What is waiting when the disk is free is written, made durable by one call, and then named.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import trio

from ossfs_resume.cache.syncfs import syncfs
from ossfs_resume.download.new_file import NewFile
from ossfs_resume.download.target import Target, make_folder, reason_of, sync_folder
from ossfs_resume.errors import OssfsError, TargetError
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.wording import quoted

MOST_FILES = 128
"""In one go: each has a descriptor meanwhile."""


@dataclass(eq=False, slots=True)
class _Wanted:
    target: Target
    meta: ObjectMeta
    data: bytes | memoryview
    file: NewFile | None = None
    error: OssfsError | None = None
    done: trio.Event = field(default_factory=trio.Event)


class SmallFiles:
    """Use `write` while `run` runs."""

    def __init__(self) -> None:
        self._wanted: list[_Wanted] = []
        self._wake = trio.Event()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._wake.wait()
            batch, self._wanted = self._wanted[:MOST_FILES], self._wanted[MOST_FILES:]
            if not self._wanted:
                self._wake = trio.Event()
            await trio.to_thread.run_sync(_make, batch)
            for wanted in batch:
                wanted.done.set()

    async def write(self, target: Target, meta: ObjectMeta, data: bytes | memoryview) -> None:
        """Return when ``data`` is the target, durably. Raises TargetError."""
        wanted = _Wanted(target, meta, data)
        self._wanted.append(wanted)
        self._wake.set()
        await wanted.done.wait()
        if wanted.error is not None:
            raise wanted.error


def _make(batch: Sequence[_Wanted]) -> None:
    for step in (_write, _sync, _publish):
        step([wanted for wanted in batch if wanted.error is None])
    for wanted in batch:
        if wanted.file is not None:
            wanted.file.close()


def _write(batch: Sequence[_Wanted]) -> None:
    for folder in {wanted.target.path.parent for wanted in batch}:
        with suppress(TargetError):  # told of each file that is to go there
            make_folder(folder)
    for wanted in batch:
        try:
            wanted.file = NewFile(wanted.target)
            wanted.file.write([wanted.data], wanted.target, wanted.meta)
        except OSError as error:
            wanted.error = failed(wanted.target, error)


def _sync(batch: Sequence[_Wanted]) -> None:
    """Each file system once."""
    places = {os.fstat(wanted.file.descriptor).st_dev: wanted for wanted in batch if wanted.file}
    for device, one in places.items():
        try:
            assert one.file is not None
            syncfs(one.file.descriptor)
        except OSError as error:
            for wanted in batch:
                if wanted.file and os.fstat(wanted.file.descriptor).st_dev == device:
                    wanted.error = failed(wanted.target, error)


def _publish(batch: Sequence[_Wanted]) -> None:
    for wanted in batch:
        try:
            assert wanted.file is not None
            wanted.file.publish()
        except OSError as error:
            wanted.error = failed(wanted.target, error)
    for folder in {wanted.target.path.parent for wanted in batch}:
        with suppress(OSError):
            sync_folder(folder)


def failed(target: Target, error: OSError) -> TargetError:
    """Why a file could not be made."""
    return TargetError(f"cannot write {quoted(target.path)}: {reason_of(error)}")
