"""Which stores of a cache directory, and which of their objects, a command is about."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import click

from ossfs_resume.cache import workbench
from ossfs_resume.cache.failure import DamagedCatalog
from ossfs_resume.cache.models import EntryRecord, Totals
from ossfs_resume.cache.workbench import Workbench
from ossfs_resume.cli import addresses
from ossfs_resume.cli.addresses import Names
from ossfs_resume.cli.lines import printable
from ossfs_resume.cli.options import gather
from ossfs_resume.errors import CacheError
from ossfs_resume.vfs.names import is_at_or_below
from ossfs_resume.wording import counted, quoted

T = TypeVar("T")

REPAIR = "ossfs-resume cache check --repair moves it aside"


@dataclass(slots=True)
class Selection:
    """The stores that an address names, or all, and the part of each that is meant.

    ``errors`` gains the address and the text of each store that could not be opened: one damaged
    catalogue keeps nobody from the others.
    """

    directory: Path
    names: Names
    identities: Sequence[str]
    path: str = ""
    errors: list[tuple[str, str]] = field(default_factory=list)

    @property
    def paths(self) -> Sequence[str]:
        """A path without a final slash may be a key, or a directory, or both."""
        path = self.path
        return (path,) if not path or path.endswith("/") else (path, path + "/")

    def name(self, identity: str, path: str = "") -> str:
        """The address of a store, or of something in it."""
        return self.names.address(identity, path)

    def each(self, work: Callable[[Workbench], Iterable[T]]) -> Iterator[T]:
        """What ``work`` finds in each store; those that fail are told on stderr."""
        for identity in self.identities:
            try:
                with workbench.opened(self.directory, identity) as bench:
                    yield from work(bench)
            except CacheError as error:
                self.failed(identity, error)

    def failed(self, identity: str, error: CacheError) -> None:
        """Tell that a store cannot be used, and remember it."""
        text = f"{error}; {REPAIR}" if isinstance(error, DamagedCatalog) else str(error)
        self.errors.append((self.name(identity), text))
        click.echo(f"ossfs-resume: {quoted(self.name(identity))}: {printable(text)}", err=True)

    def require(self, found: object) -> None:
        """Raise CacheError if nothing of what was named was found, and nothing went wrong."""
        if self.path and not found and not self.errors:
            address = self.name(self.identities[0], self.path)
            raise CacheError(f"nothing is cached of {quoted(address)}")


def select(source: str | None, cache_dir: str | None, config: str | None) -> Selection:
    """What the arguments mean. Raises SettingsError; CacheError if there is no such cache
    directory, or nothing of the bucket in it."""
    directory = gather({"cache_dir": cache_dir}, config, ()).cache_dir
    if not directory.is_dir():
        raise CacheError(
            f"there is no cache directory {quoted(directory)}; name it with --cache-dir"
        )
    names = Names(workbench.identities(directory))
    found = names.identities
    if source is None:
        return Selection(directory, names, found)
    address = addresses.parse(source)
    chosen = [identity for identity in found if address.is_of(identity)]
    if not chosen:
        whole = replace(address, path="")
        raise CacheError(f"{quoted(directory)} has nothing of {quoted(str(whole))}")
    return Selection(directory, names, chosen, address.path)


def is_cached(record: EntryRecord) -> bool:
    """Whether anything of it is here."""
    return bool(record.row.bytes_present or record.allocated)


def records(bench: Workbench, paths: Sequence[str]) -> Iterator[EntryRecord]:
    """What is cached of a key, or of a directory, or of both."""
    for path in paths:
        yield from filter(is_cached, bench.keeper.records(path))


def totals(bench: Workbench, paths: Sequence[str]) -> Totals:
    """The sum of it."""
    return sum((bench.keeper.totals(path) for path in paths), Totals())


def jobs(bench: Workbench, paths: Sequence[str]) -> list[str]:
    """The paths of the jobs that are queued at or below these paths."""
    return [
        job.path
        for job in bench.catalog.jobs()
        if any(is_at_or_below(job.path, one) for one in paths)
    ]


@dataclass(frozen=True, slots=True)
class Removed:
    """What became of the objects of one store."""

    bucket: str
    identity: str
    removed: int
    pinned: int = 0
    """Those that stay because of a pin."""
    open: int = 0
    """Those that stay because a mount has them open."""
    unpinned: int = 0
    cancelled: int = 0

    @property
    def stay(self) -> int:
        """How many are still there."""
        return self.pinned + self.open

    @property
    def found(self) -> int:
        """How much there was."""
        return self.removed + self.stay + self.unpinned + self.cancelled

    def __str__(self) -> str:
        counts = (
            f"{counted(self.removed, 'object')} removed",
            f"{counted(self.unpinned, 'pin')} let go" * bool(self.unpinned),
            f"{counted(self.cancelled, 'job')} cancelled" * bool(self.cancelled),
            f"{self.stay} {'stays' if self.stay == 1 else 'stay'}: {self._why}" * bool(self.stay),
        )
        return f"{quoted(self.bucket)}: {', '.join(filter(None, counts))}"

    @property
    def _why(self) -> str:
        reasons = (
            f"{self.pinned} pinned" * bool(self.pinned),
            f"{self.open} open" * bool(self.open),
        )
        return ", ".join(filter(None, reasons))


def evict(selection: Selection, bench: Workbench) -> Removed:
    """Remove what is neither open nor pinned."""
    removed = sum(map(bench.keeper.evict_below, selection.paths))
    left = [record.is_pinned for record in records(bench, selection.paths)]
    name = selection.name(bench.identity)
    return Removed(name, bench.identity, removed, sum(left), len(left) - sum(left))


def clear(selection: Selection, bench: Workbench) -> Removed:
    """Remove what is not open, and all pins and jobs."""
    unpinned = sum(map(bench.keeper.unpin, selection.paths))
    with bench.catalog.transaction(durable=True) as transaction:
        cancelled = sum(map(transaction.remove_jobs, selection.paths))
    return replace(evict(selection, bench), unpinned=unpinned, cancelled=cancelled)


def clear_unused(selection: Selection) -> list[Removed]:
    """Remove everything of the stores that nobody has open, damaged or not; the others remain in
    the selection."""
    removed, others = [], []
    for identity in selection.identities:
        try:
            objects = _count(selection, identity)
            if workbench.clear(selection.directory, identity):
                removed.append(Removed(selection.name(identity), identity, objects))
            else:
                others.append(identity)
        except CacheError as error:
            selection.failed(identity, error)
    selection.identities = others
    return removed


def _count(selection: Selection, identity: str) -> int:
    """How many objects a store has, as far as anybody can know."""
    with suppress(DamagedCatalog), workbench.opened(selection.directory, identity) as bench:
        return bench.keeper.totals().objects
    return 0
