"""Which files of a directory are going to be opened next: those after the ones that were.

Copying a directory of small files costs a round trip for each, since nobody reads ahead across
files. But their order is known: archivers, ``rsync`` and ``os.walk`` go through a directory in the
order of its listing or of its names, which is the same here, and ``cp -r`` in the order of inode
numbers. So two runs are followed for each directory, one for each order; the one that a reader
keeps to predicts.

Who is wrong costs requests, so a run earns its predictions like a reader its read-ahead: none
before the third neighbour, then a few times as many as were opened, and none any more when files
that were predicted are passed by. Everything here is values; `siblings` in `fetch` performs it.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ossfs_resume.cache.small_objects import MOST_BYTES as MOST_SMALL
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.vfs.interfaces import Predictions
from ossfs_resume.vfs.listing import Listing
from ossfs_resume.vfs.names import parent_prefix
from ossfs_resume.vfs.nodes import FileNode, current

GAP = 4
"""OtherProcesses may be so far apart: several readers of one walk overtake each other."""

LEAST_OPENED = 3
GROWTH = 4
MOST_PREDICTED = 64
BATCH = 8
"""Predictions are topped up by so many, so that requests leave side by side."""

MOST_PASSED_BY = 2
MOST_BYTES = 1 << 20
"""Larger files are worth a reader's own read-ahead."""

MOST_NAMES = 20_000
"""Directories with more names are not sorted for this: it would hold up everybody."""

MOST_WALKS = 16


@dataclass(slots=True)
class Run:
    """One reader's way through an order of files: indices of what was opened, each near the last.

    ``reach``: up to there was predicted; ``passed_by``: how many of that were not opened.
    """

    position: int = -1
    length: int = 0
    reach: int = 0
    passed_by: int = 0

    def visit(self, index: int) -> range:
        """The file at ``index`` is opened; what was predicted and is not believed any more."""
        step = index - self.position
        if self.length and 0 < step <= GAP:
            self.passed_by += max(min(index, self.reach) - self.position - 1, 0)
            self.position = index
            self.length += 1
        elif self.length and -GAP <= step <= 0:
            self.length += 1
            self.passed_by = max(self.passed_by - 1, 0)
        else:
            return self._restart(index)
        return self._restart(index) if self.passed_by >= MOST_PASSED_BY else range(0)

    def predict(self, count: int) -> range:
        """What to fetch now, of ``count`` files: each is predicted once."""
        if self.length < LEAST_OPENED:
            return range(0)
        start = max(self.reach, self.position + 1)
        stop = min(self.position + 1 + min(GROWTH * self.length, MOST_PREDICTED), count)
        if stop <= start or (stop - start < BATCH and stop < count):
            return range(0)
        self.reach = stop
        return range(start, stop)

    def _restart(self, index: int) -> range:
        unread = range(self.position + 1, max(self.reach, self.position + 1))
        self.position, self.length, self.reach, self.passed_by = index, 1, index + 1, 0
        return unread


class Order:
    """The files of a directory in one order, by inode and place in its listing, and the run through
    them."""

    def __init__(self, listing: Listing, files: Sequence[tuple[int, int]]) -> None:
        self.run = Run()
        self._listing = listing
        self._places = [place for _, place in files]
        self._index = {inode: index for index, (inode, _) in enumerate(files)}

    def __contains__(self, file: FileNode) -> bool:
        return file.inode in self._index

    def visit(self, file: FileNode) -> tuple[Sequence[FileNode], Sequence[FileNode]]:
        """``file`` is opened: what is given up of the predictions, and what is predicted now."""
        given_up = self.run.visit(self._index[file.inode])
        predicted = self.run.predict(len(self._places))
        return self._of(given_up), self._of(predicted)

    def _of(self, indices: range) -> Sequence[FileNode]:
        places = self._places[indices.start : indices.stop]
        nodes = (current(self._listing.node_at(place)) for place in places)
        return [node for node in nodes if isinstance(node, FileNode)]


class Walk:
    """A directory that files are opened of, in both orders."""

    def __init__(self, listing: Listing) -> None:
        files = list(listing.files())
        self.names = listing.count
        self.listing = listing
        self.orders = (Order(listing, files), Order(listing, sorted(files)))
        self.read_to_their_end = 0

    def is_of(self, listing: Listing) -> bool:
        """Whether it was made of all that this listing shows."""
        return self.listing is listing and self.names == listing.count


class Walks:
    """The walks of a mount; ``listing_of`` gives what is known of the directory of a prefix."""

    def __init__(
        self, listing_of: Callable[[str], Listing | None], predictions: Predictions
    ) -> None:
        self._listing_of = listing_of
        self._predictions = predictions
        self._walks: OrderedDict[str, Walk | FileNode] = OrderedDict()
        """By prefix. Of a directory that one file was opened of, that file alone."""

    def __repr__(self) -> str:
        return f"<Walks {len(self._walks)}>"

    def opened(self, file: FileNode) -> None:
        """Somebody has opened it."""
        prefix = parent_prefix(file.meta.key)
        known = self._walks.pop(prefix, None)
        walk = self._walk(prefix, known, file)
        if walk is None:
            self._keep(prefix, file)
            return
        self._keep(prefix, walk)
        if walk is not known and isinstance(known, FileNode):
            self._visit(walk, known)
        self._visit(walk, file)

    def closed(self, file: FileNode, *, at_end: bool) -> None:
        """A handle of it was closed, and had read to the end or not."""
        walk = self._walks.get(parent_prefix(file.meta.key))
        if isinstance(walk, Walk):
            walk.read_to_their_end += at_end

    def _walk(self, prefix: str, known: Walk | FileNode | None, file: FileNode) -> Walk | None:
        """The walk that ``file`` is part of; None if there is none yet."""
        if isinstance(known, Walk) and file in known.orders[0]:
            return known
        listing = self._listing_of(prefix)
        if known is None or known is file or listing is None or listing.count > MOST_NAMES:
            return None
        if isinstance(known, Walk) and known.is_of(listing):
            return None
        walk = Walk(listing)
        return walk if file in walk.orders[0] else None

    def _keep(self, prefix: str, walk: Walk | FileNode) -> None:
        self._walks[prefix] = walk
        if len(self._walks) > MOST_WALKS:
            self._walks.popitem(last=False)

    def _visit(self, walk: Walk, file: FileNode) -> None:
        for order in walk.orders:
            if file not in order:
                continue
            given_up, predicted = order.visit(file)
            if given_up:
                self._predictions.give_up(_metas(given_up))
            if metas := _metas(predicted):
                is_whole = walk.read_to_their_end >= 2
                self._predictions.predict(metas, is_whole=is_whole)


def _metas(files: Iterable[FileNode]) -> Sequence[ObjectMeta]:
    """Of those that are worth fetching, or having at hand: many small ones cost one question."""
    return [
        file.meta
        for file in files
        if 0 < file.meta.size <= MOST_BYTES
        and not file.meta.link
        and not (file.handles or (file.was_cached and file.meta.size > MOST_SMALL))
        and not file.superseded
    ]
