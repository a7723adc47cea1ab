"""Values that travel between the OSS client and its callers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

_KEY_TEXT = re.compile(r"[!-~]*")

Access = Literal["current", "pinned", "grown"]
"""How a version is asked for: as the current one, by its version id, or as the beginning of an
appendable object that has grown since."""


@dataclass(frozen=True, slots=True)
class ObjectMeta:
    """What the origin says of one object version, from a listing or a HEAD.

    ``key`` is text decoded from UTF-8 with ``surrogateescape``, so that a key with illegal bytes
    survives the round trip. ``etag`` carries no quotes. ``modified`` is Last-Modified in Unix
    seconds. ``crc64`` is the CRC-64/XZ of the whole object; listings never carry it.
    """

    key: str
    size: int
    etag: str
    modified: int
    crc64: int | None = None
    version_id: str = ""
    object_type: str = ""
    storage_class: str = ""
    link: str = ""
    """Of a symlink whose target is shown in the same tree: the path that leads there."""
    access: Access = "current"


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symlink object itself: the key it leads to, its own ETag, its time in Unix seconds."""

    target: str
    etag: str
    modified: int


@dataclass(frozen=True, slots=True)
class ListPage:
    """One answer of ListObjects: keys and common prefixes, each in UTF-8 byte order."""

    objects: Sequence[ObjectMeta]
    prefixes: tuple[str, ...]
    next_token: str = ""
    """Where the next page begins, to be handed back as it is; empty on the last page. A page may be
    empty and still not the last."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key; the secrets never show in ``repr``."""

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str = field(default="", repr=False)

    @property
    def flaw(self) -> str:
        """Why this cannot be a key, empty if it can be: a line break was pasted with it, a comment.

        Requests carry the id and the token in headers, which a line break would end.
        """
        parts = (
            ("access key id", self.access_key_id),
            ("access key secret", self.access_key_secret),
            ("session token", self.security_token),
        )
        found = next((name for name, text in parts if not _KEY_TEXT.fullmatch(text)), "")
        return f"the {found} holds a character that no key has" if found else ""


@dataclass(frozen=True, slots=True)
class ClientStatistics:
    """Counts since the client was made. ``errors`` are failed attempts; an object that does
    not exist is no failure."""

    list_requests: int = 0
    head_requests: int = 0
    link_requests: int = 0
    range_requests: int = 0
    bytes_received: int = 0
    retries: int = 0
    errors: int = 0
    throttled: int = 0
    hedged: int = 0
    concurrency: int = 0
    """Ranges at once that the origin bears at this moment."""
    down_s: float = 0.0
    """For how long the origin has not answered; 0 while it does."""
