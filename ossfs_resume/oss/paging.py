"""From one page of a listing to the next, and to an end.

An origin that answers the same page, or empty ones, with ever new tokens would be followed for
ever. So every page must get on: its names lie behind those of the one before, in the order of their
bytes, and a page without names may follow one with names only. Everything that follows tokens does
it through this module.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable

from ossfs_resume.errors import BadAnswer
from ossfs_resume.oss.columns import encoded_keys
from ossfs_resume.oss.encoding import key_bytes
from ossfs_resume.oss.models import ListPage

MARKER = "\0"
"""Begins a token that is a marker of ListObjects (V1): what follows is the last name returned. A
continuation token of ListObjectsV2 is sent in a header of XML and cannot begin so."""


class Trail:
    """Where one listing has been: its last name, and a hash of each token."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._last = b""
        self._was_empty = False

    def follow(self, page: ListPage) -> str:
        """Where the page after ``page`` begins, empty if it is the last.

        Raises BadAnswer, and stays where it was, if the page does not get on.
        """
        names = [*encoded_keys(page.objects), *map(key_bytes, page.prefixes)]
        token = hash(page.next_token)
        if names and self._last and min(names) <= self._last:
            raise BadAnswer(f"the listing walks in circles: {min(names)[:100]!r} came again")
        if page.next_token and not names and self._was_empty:
            raise BadAnswer("the listing walks in circles: one empty page follows another")
        if page.next_token and token in self._seen:
            raise BadAnswer("the listing walks in circles: a continuation token came again")
        self._seen.add(token)
        self._last = max(names, default=self._last)
        self._was_empty = not names
        return page.next_token


async def pages(ask: Callable[[str], Awaitable[ListPage]]) -> AsyncGenerator[ListPage, None]:
    """The pages of a listing; ``ask`` gets the one that begins at a token, empty for the first.

    Whoever leaves it early closes it (``aclosing``). Raises what ``ask`` raises, and BadAnswer.
    """
    token, trail = "", Trail()
    while True:
        page = await ask(token)
        token = trail.follow(page)
        yield page
        if not token:
            return
