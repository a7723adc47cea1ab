"""Receiving: transfers from their request to the last part on the disk.

Nothing here decides what is fetched. A transfer that may run is handed over (`fetch`) and comes
back when it has ended; in between the parts are told as they arrive (`Desk.arrived`).

Whoever opened a version keeps it: bytes of two versions are never mixed. When the origin answers
that the object has changed or is gone, the rest of the old version is asked for by another way (its
version id, or because the object was only appended to), from the byte after the last one that came;
from then on it is asked for in this way at once (`VersionReader`).
"""

from collections.abc import Callable
from typing import Protocol

import trio

from ossfs_resume.errors import BadAnswer, NotFound, ObjectChanged, OssfsError
from ossfs_resume.fetch.download import Download, Transfer
from ossfs_resume.fetch.part_writer import Desk, PartWriter
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.oss.range_reader import Sink


class RangeReader(Protocol):
    """What fetching needs of the origin."""

    async def read_range(self, meta: ObjectMeta, stop: int, sink: Sink) -> int | None:
        """Bring the bytes of exactly this version from the sink's position up to ``stop``; return
        its CRC-64."""


class RangeSource(Protocol):
    """The origin."""

    def open_reader(self) -> RangeReader:
        """One that belongs to the event loop that uses it first."""


class VersionReader:
    """``superseded`` tells how to read on in a version that is not the current one any more, None
    if there is no way."""

    def __init__(
        self, reader: RangeReader, superseded: Callable[[ObjectMeta], ObjectMeta | None]
    ) -> None:
        self._reader = reader
        self._superseded = superseded

    async def read_range(self, download: Download, stop: int, sink: Sink) -> int | None:
        """Bring the bytes of the version of ``download`` up to ``stop``; return its CRC-64."""
        known = self._superseded(download.meta) if download.superseded else None
        try:
            return await self._reader.read_range(known or download.meta, stop, sink)
        except (ObjectChanged, NotFound) as error:
            old = None if known else self._superseded(download.meta)
            if old is None or _is_unproven(old, download):
                raise
            download.superseded = download.superseded or error
            return await self._reader.read_range(old, stop, sink)


def _is_unproven(old: ObjectMeta, download: Download) -> bool:
    """What was appended to is taken for the old version only if a CRC-64 can tell in the end."""
    return old.access == "grown" and download.entry.progress.crc64 is None


WRITE_SECONDS = 0.5
"""Whole parts that nobody waits for are gathered for this time at most before they are written."""


class Receives(Protocol):
    """Where transfers are run: here, or in a thread (`receiver_thread`)."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""

    async def fetch(self, transfer: Transfer) -> None:
        """Bring the parts of a transfer; what has come of one that fails is kept.

        Raises OriginError.
        """

    def write_soon(self, transfer: Transfer) -> None:
        """Write what a transfer, which may have stalled, has gathered."""


class Receiver:
    """Runs transfers; the sinks of those that run are its own."""

    def __init__(self, reader: VersionReader, desk: Desk) -> None:
        self._reader = reader
        self._desk = desk
        self._sinks: dict[Transfer, PartWriter] = {}
        self._nursery: trio.Nursery | None = None

    def __repr__(self) -> str:
        return f"<Receiver {len(self._sinks)} transfers>"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write what nobody waits for, until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            while True:
                await trio.sleep(WRITE_SECONDS)
                for transfer in self._sinks:
                    self.write_soon(transfer)

    async def fetch(self, transfer: Transfer) -> None:
        """Bring the parts of a transfer; what has come of one that fails is kept.

        Raises OriginError.
        """
        sink = transfer.sink = self._sinks[transfer] = PartWriter(transfer, self._desk)
        try:
            await self._fetch(transfer, sink)
        except (OssfsError, trio.Cancelled) as error:
            if isinstance(error, OssfsError) or transfer.scope.cancel_called:
                with trio.CancelScope(shield=True):
                    await sink.write()
            raise
        finally:
            del self._sinks[transfer]
            transfer.sink = None
            sink.close()

    def write_soon(self, transfer: Transfer) -> None:
        """Write what a transfer, which may have stalled, has gathered."""
        sink = self._sinks.get(transfer)
        if self._nursery is not None and sink is not None and sink.has_unwritten_parts:
            self._nursery.start_soon(sink.write)

    async def _fetch(self, transfer: Transfer, sink: PartWriter) -> None:
        download, start = transfer.download, sink.position
        _, stop = download.entry.geometry.bytes_of(transfer.first, transfer.stop)
        crc64 = await self._reader.read_range(download, stop, sink)
        if not sink.is_whole:
            raise BadAnswer(f"{download.meta.key}: fewer bytes than [{start}, {stop}) came")
        if crc64 is not None:
            download.entry.expect_crc64(crc64)
        await sink.write(at_end=True)
