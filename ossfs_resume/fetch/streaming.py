"""One ranged request, from its first byte to its last: measured, slowed down, cut into parts.

Whole parts that nobody waits for are gathered to `WRITE_BYTES` before they are written; if somebody
waits, each is written as soon as it is whole. What has arrived when a request fails is kept.
"""

from collections.abc import Callable

import trio

from ossfs_resume.errors import BadAnswer, OssfsError
from ossfs_resume.fetch.bandwidth import Bandwidth
from ossfs_resume.fetch.download import Transfer
from ossfs_resume.fetch.readahead import MIB
from ossfs_resume.fetch.scheduler import Priority
from ossfs_resume.fetch.superseded import VersionReader
from ossfs_resume.fetch.traffic import Traffic
from ossfs_resume.fetch.writing import PartWriter

WRITE_BYTES = MIB // 2
"""Whole parts are gathered to so much before they are written. With a chunk more, no request has
over a mebibyte in hand, 32 of them 32 MiB: that, and 24 MiB of parts that are written and not
committed, is what kill -9 may cost."""


class Streamer:
    """``on_new_rate`` is called when the link turned out to be faster or slower."""

    def __init__(
        self,
        reader: VersionReader,
        writer: PartWriter,
        traffic: Traffic,
        bandwidth: Bandwidth,
        on_new_rate: Callable[[], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._traffic = traffic
        self._bandwidth = bandwidth
        self._on_new_rate = on_new_rate

    async def fetch(self, transfer: Transfer) -> None:
        """Bring the parts of a transfer. Raises OriginError, CorruptObject."""

        async def deliver(chunk: bytes) -> None:
            self._progress(transfer, len(chunk))
            await self._keep_to_bandwidth(transfer, len(chunk))
            transfer.batch.add(chunk)
            if transfer.waiters or transfer.batch.whole_bytes >= WRITE_BYTES:
                await self._writer.write(transfer)
                self._excuse(transfer, trio.current_time())

        download = transfer.download
        start, stop = download.entry.geometry.bytes_of(transfer.first, transfer.stop)
        try:
            crc64 = await self._reader.read_range(download, start, stop, deliver)
            if transfer.is_short:
                raise BadAnswer(f"{download.meta.key}: fewer bytes than [{start}, {stop}) came")
        except OssfsError:
            await self._writer.write(transfer)
            raise
        if crc64 is not None:
            download.entry.expect_crc64(crc64)
        await self._writer.write(transfer, at_end=True)

    def _progress(self, transfer: Transfer, count: int) -> None:
        transfer.last_byte = trio.current_time()
        if self._traffic.arrived(count, transfer.last_byte):
            self._on_new_rate()

    async def _keep_to_bandwidth(self, transfer: Transfer, count: int) -> None:
        is_background = transfer.priority is Priority.BACKGROUND and not transfer.waiters
        seconds = self._bandwidth.spend(count, is_background=is_background)
        if seconds:
            self._excuse(transfer, trio.current_time() + seconds)
            await trio.sleep(seconds)

    def _excuse(self, transfer: Transfer, until: float) -> None:
        """Our own waiting is no silence of the origin: nobody's patience ends meanwhile."""
        transfer.last_byte = max(transfer.last_byte or 0, until)
        self._traffic.excuse(transfer.last_byte)
