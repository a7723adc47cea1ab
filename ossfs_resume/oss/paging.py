"""From one page of a listing to the next, without walking in circles."""

from ossfs_resume.errors import BadAnswer

MARKER = "\0"
"""Begins a token that is a marker of ListObjects (V1): what follows is the last name returned. A
continuation token of ListObjectsV2 is sent in a header of XML and cannot begin so."""


class Trail:
    """The tokens of one listing so far; a thousand of them for a million keys."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def follow(self, token: str) -> str:
        """``token``, where the next page begins. Raises BadAnswer if it was there before."""
        if token and token in self._seen:
            raise BadAnswer("the listing walks in circles: a continuation token came again")
        self._seen.add(token)
        return token
