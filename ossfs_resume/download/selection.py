"""Which objects are meant: keys, all below a prefix, lists of names; less what is excluded."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import trio

from ossfs_resume.download.places import below
from ossfs_resume.download.report import Outcome, Report, Result
from ossfs_resume.download.run import Wanted
from ossfs_resume.download.target import Target
from ossfs_resume.errors import NotFound, TargetError
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.oss.paging import pages
from ossfs_resume.wording import quoted


@dataclass(frozen=True, slots=True)
class Globs:
    """Shell patterns, in which ``*`` stands for any characters, ``/`` too."""

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def take(self, name: str) -> bool:
        """Whether the object with this name below its prefix is meant."""
        is_included = not self.include or any(fnmatchcase(name, glob) for glob in self.include)
        return is_included and not any(fnmatchcase(name, glob) for glob in self.exclude)


def _looked_at(found: Sequence[Wanted | None]) -> list[Wanted]:
    """With how their files are; one that cannot be one is told when its turn comes. Blocks."""
    looked_at = []
    for wanted in filter(None, found):
        with suppress(TargetError):
            wanted = replace(wanted, target=Target.at(wanted.path))
        looked_at.append(wanted)
    return looked_at


@dataclass(frozen=True, slots=True)
class Selection:
    """Turns what the user named into files below ``directory``. ``list_page`` is the client's."""

    list_page: Callable[..., Awaitable[ListPage]]
    directory: Path
    globs: Globs
    report: Report

    async def below(self, prefix: str) -> AsyncIterator[Wanted]:
        """All keys below a prefix. Raises NotFound if there is none."""
        is_empty = True
        ask = partial(self._page, prefix)
        async with aclosing(pages(ask)) as listing:
            async for page in listing:
                is_empty = is_empty and not page.objects
                found = [self._wanted(prefix, meta) for meta in page.objects]
                # At once: a thread for each would take longer than to look.
                for wanted in await trio.to_thread.run_sync(_looked_at, found):
                    yield wanted
        if is_empty:
            raise NotFound(f"there is no key below {quoted(prefix)}")

    async def _page(self, prefix: str, token: str) -> ListPage:
        return await self.list_page(prefix, token=token, delimiter="")

    def _wanted(self, prefix: str, meta: ObjectMeta) -> Wanted | None:
        name = meta.key.removeprefix(prefix)
        is_marker = meta.key.endswith("/") and not meta.size
        if is_marker or not self.globs.take(name):
            return None
        # The listing shows the size and ETag of a link itself, not those of what it leads to.
        is_link = meta.object_type == "Symlink"
        return self.named(meta.key, name, None if is_link else meta)

    def named(self, key: str, name: str, meta: ObjectMeta | None = None) -> Wanted | None:
        """One key under this name; None, which is reported, if no file can have it."""
        try:
            wanted = Wanted(key, below(self.directory, name, key), meta)
        except TargetError as error:
            self.report.ended(Result(key, self.directory, Outcome.FAILED, error=error))
            return None
        if meta is not None:
            self.report.total += meta.size
        return wanted
