"""Other processes that share the cache: what one of them fetches, this one waits for.

A transfer claims its parts among all processes before it sends its request. If another has one of
them, this one looks into the catalogue a few times a second for what has arrived, and fetches by
itself as soon as the claim is free or nothing has arrived for two seconds: same version, same
bytes. A claim outlives its transfer by a moment, until the parts are committed for all to see.
"""

from collections.abc import Sequence
from typing import Protocol

import trio

from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.fetch import scheduler
from ossfs_resume.fetch.disk import Disk
from ossfs_resume.fetch.download import Transfer

LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 2.0
LINGER_SECONDS = 1.5
"""Longer than the cache takes to commit."""


class PartClaims(Protocol):
    """What is needed of the cache; nothing of it blocks."""

    def has_others(self) -> bool:
        """Whether another living process uses the cache."""

    def take(self, version: ObjectVersion, parts: range) -> bool:
        """Claim parts; False if another process has one of them."""

    def release(self, version: ObjectVersion, parts: range) -> None:
        """Give up a claim."""


class OtherProcesses:
    """Decides for each transfer whether there is anything left to fetch."""

    def __init__(self, claims: PartClaims, disk: Disk) -> None:
        self._claims = claims
        self._disk = disk
        self._held: dict[ObjectVersion, list[range]] = {}

    def __repr__(self) -> str:
        return f"<OtherProcesses {self._claims!r}>"

    def claim(self, transfer: Transfer) -> bool:
        """Whether the transfer may start at once, its parts claimed; False: `look` first."""
        version = transfer.download.entry.version
        self._held.setdefault(version, []).append(transfer.parts)
        return self._claims.take(version, transfer.parts) and not self._claims.has_others()

    async def look(self, transfer: Transfer) -> bool | None:
        """Whether something is left to be fetched by this process; None: `wait` for another."""
        download = transfer.download
        is_ours = self._claims.take(download.entry.version, transfer.parts)
        await self._disk.refresh(download, transfer.parts)
        missing = download.entry.missing(transfer.first, transfer.stop)
        if missing and not is_ours:
            return None
        if missing:
            transfer.narrow(missing[0].start, missing[-1].stop)
        return bool(missing)

    async def wait(self, transfer: Transfer) -> bool:
        """Let others bring the parts of a transfer; whether something is left to be fetched."""
        entry, since = transfer.download.entry, trio.current_time()
        while True:
            before = entry.progress.present_count
            await trio.sleep(LOOK_SECONDS)
            is_left = await self.look(transfer)
            if is_left is not None:
                return is_left
            now = trio.current_time()
            if entry.progress.present_count > before:
                since = transfer.last_byte = now
                transfer.wake()
            if now - since >= PATIENCE_SECONDS:
                missing = entry.missing(transfer.first, transfer.stop)
                transfer.narrow(missing[0].start, missing[-1].stop)
                return True

    def has_others(self) -> bool:
        """Whether anybody is there to see what this process claims."""
        return self._claims.has_others()

    async def release_later(self, version: ObjectVersion, parts: range) -> None:
        """Give up a claim when the catalogue has had time to tell of its parts."""
        await trio.sleep(LINGER_SECONDS)
        self.release(version, parts)

    def release(self, version: ObjectVersion, parts: range) -> None:
        """Give up the ``parts`` that a transfer claimed, but for those that another transfer of
        this process has claimed meanwhile."""
        held = self._held[version]
        held.remove(parts)
        if not held:
            del self._held[version]
        for run in _outside(parts, held):
            self._claims.release(version, run)


def _outside(parts: range, held: Sequence[range]) -> Sequence[range]:
    """The runs of ``parts`` that are in none of ``held``."""
    others = [other for other in held if other.start < parts.stop and parts.start < other.stop]
    if not others:
        return (parts,)
    return list(scheduler.unclaimed([parts], lambda part: any(part in other for other in others)))
