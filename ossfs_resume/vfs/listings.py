"""The listings of one directory, read page by page as somebody needs them.

The newest listing serves every reader that starts while it is young. Until it is complete, the one
before it is kept as well: it knows the names that the newest has not come to, and serves readers
from its start when the origin cannot be reached. At most one request for each next page is under
way, in the background; it changes what is known in one step when its answer is there.

A long copy outlives the listing that it began with, and then looks up one expired name after the
other at two requests each. `is_worth_listing` says when to read the whole directory anew instead,
by the rule for renting or buying skis: when as much has been spent on single names, in the time for
which a listing serves, as all of them would have cost. So it costs never more than twice the best.
"""

from collections.abc import Callable, Iterator
from functools import partial
from math import inf

import trio

from ossfs_resume.errors import CacheError
from ossfs_resume.vfs.listing import Listing
from ossfs_resume.vfs.lookup import resolve_page
from ossfs_resume.vfs.metadata_requests import SharedCall
from ossfs_resume.vfs.metadata_store import pack_page
from ossfs_resume.vfs.nodes import NEVER, DirectoryNode, FileNode, Node, current
from ossfs_resume.vfs.page import Page
from ossfs_resume.vfs.shared import Shared, log

PREFETCH_NAMES = 4000
"""Pages are asked for until a reader who is past the first one has so many names before it,"""

PREFETCH_PAGES = 40
"""or so many pages: not all of their names need be ones that are shown."""

RECALL_PAUSE_S = 5.0
"""Before the cache is asked again for a listing that it did not give."""


def is_worth_listing(lookups: int, pages: int) -> bool:
    """Whether a directory of so many pages should be read anew after so many expired names."""
    return 2 * lookups >= pages and lookups > 1


class Listings:
    """The newest listing of a directory and the one before.

    ``on_page`` is called with what a page added and the names of that, before they can be looked
    up, and the time at which the page was asked for.
    """

    def __init__(
        self,
        node: DirectoryNode,
        shared: Shared,
        on_page: Callable[[Listing, Page, list[bytes], float], None],
    ) -> None:
        self.newest: Listing | None = None
        self._node = node
        self._shared = shared
        self._on_page = on_page
        self._previous: Listing | None = None
        self._beginning: SharedCall[Listing] | None = None
        self._recalling: SharedCall[None] | None = None
        self._recall_again_at = inf
        self._reading_anew: SharedCall[None] | None = None
        self._expired_lookups = 0
        self._counting_since = NEVER

    def __repr__(self) -> str:
        return f"<Listings newest={self.newest!r} previous={self._previous!r}>"

    async def young(self) -> Listing:
        """A listing to be read from its start, of which the first page is there.

        Raises OriginError; but if only the origin's silence is the trouble, and there is a complete
        listing from before, it is that one.
        """
        newest = self.newest
        if newest is not None and not self._is_expired(newest):
            return newest
        await self.recall()
        for listing in self._known():
            if listing.is_complete:
                return await self._shared.origin.attempt(self._begin) or listing
        return await self._shared.origin.insist(self._begin())

    async def recall(self) -> None:
        """Install what an earlier mount kept, unless more is known; done once, and again after a
        while if the cache did not say what that is."""
        is_due = self._recalling is None or trio.current_time() >= self._recall_again_at
        if is_due and self.newest is None:
            self._recall_again_at = inf
            self._recalling = self._shared.origin.share(self._restore)
        if self._recalling is not None:
            await self._recalling.result()

    async def _restore(self) -> None:
        try:
            pages = await self._shared.memory.listing(self._node.prefix)
        except CacheError as error:
            log.debug("cannot recall what the origin said: %s", error)
            self._recall_again_at = trio.current_time() + RECALL_PAUSE_S
            return
        listing = Listing(self._node, self._shared.table, NEVER)
        for page in pages:
            listing.absorb(page, NEVER, self._shared.now_ns())
            await trio.lowlevel.checkpoint()
        if pages and self.newest is None:
            self._install(listing)

    async def reach(self, listing: Listing, index: int) -> None:
        """Read pages until entry ``index`` is there, or the end. Raises OriginError.

        Pages may show nothing but names that are hidden, without end.
        """
        listing.wanted, listing.wanted_pages = max(listing.wanted, index), len(listing.pages)
        with self._shared.origin.deadline(f"the listing of {self._node.prefix!r}"):
            while index >= listing.count and not listing.is_complete:
                await self._next_page(listing).result()
        if self._is_short(listing):
            self._next_page(listing)

    def looked_up_expired(self) -> None:
        """A single request is sent for a name that is known, but no longer believed."""
        now = trio.current_time()
        if now - self._counting_since >= self._shared.settings.metadata_ttl_s:
            self._counting_since, self._expired_lookups = now, 0
        self._expired_lookups += 1
        complete = next((one for one in self._known() if one.is_complete), None)
        if complete is None or not is_worth_listing(self._expired_lookups, len(complete.pages)):
            return
        self._expired_lookups = 0
        if self._reading_anew is None or self._reading_anew.is_done:
            anew = partial(self._read_anew, 2 * complete.count + PREFETCH_NAMES)
            self._reading_anew = self._shared.origin.share(anew)

    async def _read_anew(self, names: int) -> None:
        """All of the directory, unless it has grown past reason: nobody reads these names."""
        listing = await self.young()
        while not listing.is_complete and listing.count < names:
            await self.reach(listing, listing.count)

    def find(self, name: bytes) -> Node | None:
        """The node of ``name`` in the newest listing that has it."""
        for listing in self._known():
            node = listing.find(name)
            if node is not None:
                return node
        return None

    def besides(self, listing: Listing) -> list[Listing]:
        """The other listings that are known, newest first."""
        return [known for known in self._known() if known is not listing]

    def vouches_for(self, name: bytes, node: Node) -> bool:
        """Whether the newest listing has shown this node under ``name``, and nothing is newer."""
        newest = self.newest
        return (
            newest is not None
            and newest.find(name) is node
            and node.confirmed_at >= newest.started_at > NEVER
        )

    def denied_until(self, name: bytes) -> float | None:
        """Until when the newest listing proves that there is no ``name``; None if it does not."""
        if self.newest is None or name in self.newest or not self.newest.has_passed(name):
            return None
        return self.newest.started_at + self._shared.settings.metadata_ttl_s

    def nodes(self) -> Iterator[Node]:
        """The nodes of today of all names for which there is one, some perhaps twice."""
        for listing in self._known():
            for page in listing.pages:
                yield from map(current, page.nodes.values())

    def disbelieve(self) -> None:
        """Believe no listing any more."""
        for listing in self._known():
            for inode in listing.disbelieve():
                self._shared.on_doubt(inode)

    def _known(self) -> list[Listing]:
        return [listing for listing in (self.newest, self._previous) if listing is not None]

    def _is_expired(self, listing: Listing) -> bool:
        age_s = trio.current_time() - listing.started_at
        return age_s >= self._shared.settings.metadata_ttl_s

    def _begin(self) -> SharedCall[Listing]:
        if self._beginning is None or self._beginning.is_done:
            self._beginning = self._shared.origin.share(self._start)
        return self._beginning

    async def _start(self) -> Listing:
        listing = Listing(self._node, self._shared.table, trio.current_time())
        await self._read_page(listing)
        return listing

    def _is_short(self, listing: Listing) -> bool:
        """Whether a reader who goes on to the end would soon have to wait."""
        ahead = listing.count - listing.wanted
        pages_ahead = len(listing.pages) - listing.wanted_pages
        is_near = ahead <= PREFETCH_NAMES and pages_ahead < PREFETCH_PAGES
        return is_near and len(listing.pages) > 1 and not listing.is_complete

    def _next_page(self, listing: Listing) -> SharedCall[None]:
        if listing.paging is None or listing.paging.is_done:
            listing.paging = self._shared.origin.share(partial(self._read_page, listing))
        return listing.paging

    async def _read_page(self, listing: Listing) -> None:
        asked_at = trio.current_time()
        page = await self._shared.origin.list_page(self._node.prefix, token=listing.token)
        shown = await resolve_page(self._shared.origin, page)
        listing.trail.follow(page)
        added, names = listing.absorb(shown, asked_at, self._shared.now_ns())
        listing.packed.append(pack_page(shown, self._node.prefix))
        self._node.listable = True
        self._shared.hidden.note(listing.take_hidden())
        self._on_page(listing, added, names, asked_at)
        if len(listing.pages) == 1:
            self._install(listing)
        if listing.is_complete:
            self._shared.memory.listed(self._node.prefix, listing.packed)
            self._shared.memory.changed(self._node)
            listing.packed = []
            if listing is self.newest:
                self._retire_previous(listing)
        if self._is_short(listing):
            # This call has done its work; who comes from now on waits for the next page.
            listing.paging = self._shared.origin.share(partial(self._read_page, listing))

    def _install(self, listing: Listing) -> None:
        if self.newest is not None and (self.newest.is_complete or self._previous is None):
            self._previous = self.newest
        self.newest = listing

    def _retire_previous(self, listing: Listing) -> None:
        """A complete listing has the last word: what it does not show is gone."""
        if self._previous is not None:
            for name, node in self._previous.known_nodes():
                is_seen = name in listing or node.confirmed_at >= listing.started_at
                if isinstance(node, FileNode) and not is_seen:
                    node.supersede()
                    self._shared.doubt(node)
        self._previous = None
