"""Reading on in a version that is not the current one any more, if the origin still has it.

Whoever opened a version keeps it: bytes of two versions are never mixed. When the origin answers
that the object has changed or is gone, the rest of the old version is asked for by another way (its
version id, or because the object was only appended to), from the byte after the last one that came;
from then on it is asked for in this way at once.
"""

from collections.abc import Callable
from typing import Protocol

from ossfs_resume.errors import NotFound, ObjectChanged
from ossfs_resume.fetch.download import Download
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.oss.range_reading import Sink


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
