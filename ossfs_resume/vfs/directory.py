"""One directory: what its names stand for, from what is known already or by asking.

Knowledge comes from listings and from single lookups, and is believed for the metadata TTL from the
time it was asked for; absence found by a lookup only for the negative TTL. Whatever was asked for
last has the word. What has expired is asked for again, and still serves if the origin cannot be
reached. Only absence does not: an expired "no such name" is never repeated without the origin's
word, since a program that is told so may act on it.

`Directories` are those that something is known of, the least recently used dropped first.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import trio

from ossfs_resume.errors import OriginError
from ossfs_resume.vfs.listing import Listing
from ossfs_resume.vfs.listings import Listings
from ossfs_resume.vfs.lookup import Found, FoundDirectory, find
from ossfs_resume.vfs.metadata_requests import SharedCall
from ossfs_resume.vfs.models import AbsentName
from ossfs_resume.vfs.names import SHADOW_SUFFIX, decode, encode, is_representable, parent_prefix
from ossfs_resume.vfs.nodes import NEVER, DirectoryNode, FileNode, Node, current
from ossfs_resume.vfs.page import Page
from ossfs_resume.vfs.shared import NANOSECONDS, Shared

STALE_VALID_S = 1.0
"""How long the kernel may keep what was served because the origin could not be reached."""

MOMENT_S = 1.0
"""How long, whatever the TTL, names are believed that a listing has just shown, and directories
that were just found: ``ls -l`` looks up each name that it has read, and the directory before it.
"""

READING_S = 60.0
"""The same while somebody still has the directory open, and the longest in any case."""

MAX_ANSWERS = 10_000
"""Lookups remembered per directory; programs that probe for random names must not fill memory."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a lookup found (None: nothing), and the monotonic time at which it was asked."""

    node: Node | None
    asked_at: float


@dataclass(frozen=True, slots=True)
class _Known:
    """What a name stands for (None: nothing), and the monotonic time until which it is believed."""

    node: Node | None
    until: float


def _shown_until(directory: DirectoryNode, node: Node) -> float:
    """Until when nobody need ask for a node because a reader of the directory has just seen it."""
    shown_until = directory.read_at + (READING_S if directory.handles else MOMENT_S)
    return min(shown_until, node.confirmed_at + READING_S)


class Directory:
    """The entries of one directory, by name or in a listing."""

    def __init__(self, node: DirectoryNode, shared: Shared) -> None:
        self.node = node
        self.listings = Listings(node, shared, self._on_page)
        self._shared = shared
        self._answers: dict[bytes, _Answer] = {}
        self._asking: dict[bytes, SharedCall[_Known]] = {}

    def __repr__(self) -> str:
        return f"<Directory {self.node.prefix!r} {self.listings!r} answers={len(self._answers)}>"

    async def lookup(self, name: bytes) -> Node:
        """The node of ``name``. Raises AbsentName, or OriginError if nobody can say."""
        self._shared.lookups += 1
        if not is_representable(name):
            raise AbsentName(name, self._shared.settings.metadata_ttl_s)
        known = self._known(name)
        if known is not None and trio.current_time() < known.until:
            self._shared.lookups_without_request += 1
        else:
            known = await self._renew(name, known or await self._recall(name))
        if known.node is None:
            remaining_s = max(known.until - trio.current_time(), 0.0)
            raise AbsentName(name, min(remaining_s, self._shared.settings.negative_ttl_s))
        return known.node

    def believed(self, name: bytes) -> tuple[Page, int, Node | None] | None:
        """Where the newest listing has ``name``, and its node if it has one, if that is believed
        and nothing else was heard of it; None says nothing."""
        newest = self.listings.newest
        if newest is None or name in self._answers:
            return None
        place = newest.place(name)
        if place is None:
            return None
        page, row = place
        node = page.nodes.get(row)
        expired_at = trio.current_time() - self._shared.settings.metadata_ttl_s
        if (page if node is None else node).confirmed_at <= expired_at:
            return None
        if isinstance(node, FileNode) and node.successor is not None:
            return None
        if node is None and not self._shared.table.is_free(page, row):
            return None
        self._shared.lookups += 1
        self._shared.lookups_without_request += 1
        return page, row, node

    def expire(self, only: Node | None = None) -> None:
        """Believe nothing any more, or nothing about the names of one node; what was known serves
        only if the origin cannot be reached."""
        answered = [(name, answer.node) for name, answer in self._answers.items()]
        for node in (*(node for _, node in answered), *self.listings.nodes()):
            if node is not None and only in (None, node):
                self._shared.doubt(node)
        if only is None:
            self.listings.disbelieve()
            self.node.read_at = NEVER
            self._answers = {name: _Answer(node, NEVER) for name, node in answered}

    def valid_s(self, shown: Node | Page) -> float:
        """For how many seconds the kernel may keep the connection of a node with a name, or that of
        the rows of a page that have no node."""
        expired_at = trio.current_time() - self._shared.settings.metadata_ttl_s
        least_s = STALE_VALID_S if self._shared.origin.is_down else 0.0
        return max(shown.confirmed_at - expired_at, least_s)

    async def _renew(self, name: bytes, known: _Known | None) -> _Known:
        """Ask for a name of which nothing, or only something old, is known."""
        if known is None or known.node is None:
            return await self._shared.origin.insist(self._ask(name))
        if not self._shared.origin.is_down:
            self.listings.looked_up_expired()
        return await self._shared.origin.attempt(partial(self._ask, name)) or known

    async def _recall(self, name: bytes) -> _Known | None:
        """What an earlier mount was told of a name of which this one knows nothing."""
        await self.listings.recall()
        known = self._known(name)
        if known is None or known.node is None:
            found = await self._shared.memory.answer(self.node.prefix + decode(name))
            if found is not None and name not in self._answers:
                self._remember_answer(name, _Answer(self._node_of(found, NEVER), NEVER))
        return self._known(name)

    def _known(self, name: bytes) -> _Known | None:
        answer, newest = self._answers.get(name), self.listings.newest
        if answer is not None:
            is_overtaken = newest is not None and newest.started_at > answer.asked_at
            if newest is None or not is_overtaken or not newest.has_passed(name):
                return self._knowing(answer.node, answer.asked_at)
        denied_until = self.listings.denied_until(name)
        if denied_until is not None:
            return _Known(None, denied_until)
        node = self.listings.find(name)
        if node is None:
            return None
        known = self._knowing(node, NEVER)
        if self.listings.vouches_for(name, node):
            return _Known(known.node, max(known.until, _shown_until(self.node, node)))
        return known

    def _knowing(self, node: Node | None, asked_at: float) -> _Known:
        if node is None:
            return _Known(None, asked_at + self._shared.settings.negative_ttl_s)
        node = current(node)
        return _Known(node, self._believed_until(node))

    def _believed_until(self, node: Node) -> float:
        believed_until = node.confirmed_at + self._shared.settings.metadata_ttl_s
        if isinstance(node, FileNode) or node.confirmed_at == NEVER:
            return believed_until
        return max(believed_until, node.confirmed_at + MOMENT_S, _shown_until(node, node))

    def _ask(self, name: bytes) -> SharedCall[_Known]:
        if name not in self._asking:
            self._asking[name] = self._shared.origin.share(partial(self._resolve, name))
        return self._asking[name]

    async def _resolve(self, name: bytes) -> _Known:
        asked_at = trio.current_time()
        try:
            with self._shared.origin.deadline(f"{self.node.prefix + decode(name)!r}"):
                found = await find(self._shared.origin, self.node.prefix, name)
        finally:
            del self._asking[name]
        node = self._node_of(found, asked_at)
        self._replace(name, node, asked_at)
        self._shared.memory.found(self.node.prefix + decode(name), found)
        self._remember_answer(name, _Answer(node, asked_at))
        return self._knowing(node, asked_at)

    def _remember_answer(self, name: bytes, answer: _Answer) -> None:
        self._answers.pop(name, None)
        self._answers[name] = answer
        if len(self._answers) > MAX_ANSWERS:
            del self._answers[next(iter(self._answers))]

    def _node_of(self, found: Found, asked_at: float) -> Node | None:
        if found is None:
            return None
        if not isinstance(found, FoundDirectory):
            file = self._shared.table.file(found)
            file.confirm(found, asked_at)
            return file
        directory = self._shared.table.directory(found.prefix, self._shared.now_ns())
        if asked_at > NEVER or directory.confirmed_at == NEVER:
            directory.listable = found.listable
            directory.confirmed_at = asked_at if found.listable else NEVER
        if found.marker is not None:
            directory.saw_marker(found.marker.modified * NANOSECONDS)
        return directory

    def _on_page(self, listing: Listing, page: Page, names: list[bytes], asked_at: float) -> None:
        """A page of a listing is there; it overtakes the lookups that were asked before."""
        others = self.listings.besides(listing)
        if not self._answers and not others:
            return
        table = self._shared.table
        for row, name in enumerate(names):
            answer = self._answers.get(name)
            if answer is None:
                old = self._other(name, page, row, others)
            else:
                old = answer.node
                if answer.asked_at <= asked_at:
                    del self._answers[name]
            if old is not None:
                self._shared.replace(current(old), table.node(page, row, name), asked_at)

    def _other(self, name: bytes, page: Page, row: int, others: Sequence[Listing]) -> Node | None:
        """The node of ``name`` in the newest of other listings that has it, if anybody has that
        node, and it is not the one of a row of a newer page."""
        for listing in others:
            place = listing.known_place(name)
            if place is not None:
                old, at = place
                is_same = old.inodes[at] == page.inodes[row]
                return None if is_same else self._shared.table.known_node(old, at)
        return None

    def _replace(self, name: bytes, node: Node | None, asked_at: float) -> None:
        answer = self._answers.get(name)
        old = answer.node if answer is not None else self.listings.find(name)
        if old is not None:
            self._shared.replace(current(old), node, asked_at)


MAX_DIRECTORIES = 10_000
"""A walk through a bucket visits each directory once; what it learned need not stay for ever."""


class Directories:
    """One `Directory` for each prefix."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._directories: OrderedDict[str, Directory] = OrderedDict()

    def __len__(self) -> int:
        return len(self._directories)

    def __repr__(self) -> str:
        return f"<Directories {len(self)}>"

    def below(self, prefix: str) -> list[Directory]:
        """What is known of the directories whose prefixes start with this one."""
        return [one for known, one in self._directories.items() if known.startswith(prefix)]

    def at(self, prefix: str) -> list[Directory]:
        """What is known of the directory of exactly this prefix: one, or nothing."""
        return [self._directories[prefix]] if prefix in self._directories else []

    def listing_of(self, prefix: str) -> Listing | None:
        """The newest listing of the directory of exactly this prefix, if there is one."""
        directory = self._directories.get(prefix)
        return None if directory is None else directory.listings.newest

    async def leads_to(self, node: Node) -> bool:
        """Whether the name of ``node`` still stands for it; yes, if nobody can say."""
        path = node.prefix[:-1] if isinstance(node, DirectoryNode) else node.meta.key
        prefix = parent_prefix(path)
        name = encode(path)[len(encode(prefix)) :]
        parent = self.of(self._shared.table.directory(prefix, self._shared.now_ns()))
        try:
            return await _found(parent, name) is node or (
                isinstance(node, FileNode) and await _found(parent, name + SHADOW_SUFFIX) is node
            )
        except OriginError:
            return True

    def of(self, node: DirectoryNode) -> Directory:
        """The directory of this node; a dropped one starts again, knowing nothing."""
        directory = self._directories.get(node.prefix)
        if directory is None:
            directory = self._directories[node.prefix] = Directory(node, self._shared)
            if len(self._directories) > MAX_DIRECTORIES:
                self._directories.popitem(last=False)
        else:
            self._directories.move_to_end(node.prefix)
        return directory


async def _found(directory: Directory, name: bytes) -> Node | None:
    try:
        return await directory.lookup(name)
    except AbsentName:
        return None
