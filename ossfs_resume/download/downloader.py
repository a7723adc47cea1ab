"""One object to one file, through the engine of a mount.

What may not change:

- Nothing has the target's name that is not the whole object, with the origin's CRC-64, on the disk.
- An object that changes in the bucket meanwhile is begun again, and never mixed.
- One run at a time downloads a large object to a target; small ones are replaced in one step.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio

from ossfs_resume.download.keeping import Keeping
from ossfs_resume.download.part_folder import PartFolder, part_place
from ossfs_resume.download.report import Outcome, Report, Result
from ossfs_resume.download.small_files import SmallFiles
from ossfs_resume.download.target import Target, make_folder
from ossfs_resume.errors import ObjectChanged, TargetInUse
from ossfs_resume.fetch.engine import Engine
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.wording import quoted

SMALL_BYTES = 2 << 20
"""An object of this size is had in one request, and not kept before it is complete."""

LOOK_SECONDS = 0.1
"""How often one who waits for another run looks whether that has ended."""

DOWNLOADS = "downloads"
"""The directory for what arrives for file systems that cannot hold it; below that of caches."""

MOST_ATTEMPTS = 5
"""How often an object may change while it is downloaded."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to become of a target that exists, and where what has arrived is kept."""

    no_clobber: bool = False
    update: bool = False
    dry_run: bool = False
    waits: bool = True
    """For another run that downloads to the same target; else TargetInUse is raised."""
    part_size: int = 256 * 1024
    small_bytes: int = SMALL_BYTES
    state: Path | None = None
    """A directory for what has arrived; default: beside the target."""
    elsewhere: Path | None = None
    """The same, where the target's file system cannot hold it."""


@dataclass(frozen=True, slots=True)
class Downloader:
    """``head`` asks for the current version of a key."""

    engine: Engine
    keeping: Keeping
    small_files: SmallFiles
    head: Callable[[str], Awaitable[ObjectMeta]]
    wishes: Wishes
    report: Report
    _comparing: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(2))

    async def download(self, meta: ObjectMeta, path: Path, target: Target | None = None) -> Result:
        """Have the object as the file ``path``, which was ``target`` a moment ago if that is known.

        Raises OssfsError.
        """
        for _ in range(MOST_ATTEMPTS):
            if target is None:
                target = await trio.to_thread.run_sync(Target.at, path)
            try:
                return await self._download(meta, target)
            except ObjectChanged:
                target, before = None, meta.size
                self.report.say(f"{quoted(meta.key)} has changed in the bucket: starting over")
                meta = await self.head(meta.key)
                self.report.total += meta.size - before
        raise ObjectChanged(f"{quoted(meta.key)} changes all the time: gave up")

    async def _download(self, meta: ObjectMeta, target: Target) -> Result:
        if (outcome := await self._settled(meta, target)) is not None:
            return self._ended(meta, target, outcome)
        if meta.size > self.wishes.small_bytes:
            return await self._keep(meta, target)
        copied = await self._pass(meta, target)
        return self._ended(meta, target, Outcome.DOWNLOADED, copied)

    async def _settled(self, meta: ObjectMeta, target: Target) -> Outcome | None:
        """How it ends if nothing is to be fetched."""
        wishes = self.wishes
        is_kept = wishes.no_clobber or (wishes.update and not target.is_older(meta))
        if target.exists and is_kept:
            return Outcome.KEPT
        if target.may_be(meta):
            if meta.crc64 is None:
                meta = await self.head(meta.key)
            is_same = await trio.to_thread.run_sync(
                target.has_bytes_of, meta, limiter=self._comparing, abandon_on_cancel=True
            )
            if is_same:
                await trio.to_thread.run_sync(self._tidy, target.path)
                return Outcome.HERE
        return Outcome.PLANNED if wishes.dry_run else None

    def _ended(
        self, meta: ObjectMeta, target: Target, outcome: Outcome, resumed: int = 0
    ) -> Result:
        self.report.done += meta.size
        result = Result(meta.key, target.path, outcome, meta.size, resumed)
        self.report.ended(result)
        return result

    async def _pass(self, meta: ObjectMeta, target: Target) -> int:
        """A small object, through memory; how many bytes of it came from a mount's cache."""
        if cached := await self._cached(meta):
            await self.small_files.write(target, meta, cached)
            self.report.resumed += len(cached)
            return len(cached)
        download = await self.engine.open(meta)
        try:
            data = await self.engine.read(download, 0, meta.size) if meta.size else b""
            await self.small_files.write(target, meta, data)
            return 0
        finally:
            self.engine.close(download)

    async def _cached(self, meta: ObjectMeta) -> bytes | None:
        cache = self.keeping.cache
        return await trio.to_thread.run_sync(cache.whole, meta) if cache.is_open else None

    async def _keep(self, meta: ObjectMeta, before: Target) -> Result:
        """A large object, part by part."""
        folder = await self._take_folder(before.path)
        try:
            target = await trio.to_thread.run_sync(Target.at, before.path)
            # Another run may have been here meanwhile.
            is_same = target.is_same_as(before)
            outcome = None if is_same else await self._settled(meta, target)
            if outcome is not None:
                await trio.to_thread.run_sync(folder.remove)
                return self._ended(meta, target, outcome)
            resumed = await self.keeping.fetch(meta, target, folder)
            return self._ended(meta, target, Outcome.DOWNLOADED, resumed)
        finally:
            folder.release()

    async def _take_folder(self, path: Path) -> PartFolder:
        """Have it alone, after a wait for another run. Raises TargetInUse."""
        place = await trio.to_thread.run_sync(self._made_place, path)
        taken = await trio.to_thread.run_sync(PartFolder.take, place)
        if isinstance(taken, int):
            who = f"process {taken}" if taken else "another process"
            if not self.wishes.waits:
                raise TargetInUse(f"{who} is downloading to {quoted(path)}")
            self.report.say(f"{who} is downloading to {quoted(path)}: waiting for it")
        while isinstance(taken, int):
            await trio.sleep(LOOK_SECONDS)
            taken = await trio.to_thread.run_sync(PartFolder.take, place)
        return taken

    def _made_place(self, path: Path) -> Path:
        """Where what arrives is kept, the directories above it made. Blocks. Raises TargetError."""
        make_folder(path.parent)
        place = self._place(path)
        make_folder(place.parent)
        return place

    def _place(self, path: Path) -> Path:
        return part_place(path, self.wishes.state, self.wishes.elsewhere)

    def _tidy(self, path: Path) -> None:
        """Remove what a run left that was killed when all was done but this. Blocks."""
        place = self._place(path)
        taken = PartFolder.take(place) if place.exists() else 0
        if isinstance(taken, PartFolder):
            taken.remove()
            taken.release()
