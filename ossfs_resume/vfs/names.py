"""Keys as names: which directory entries a sorted listing of keys makes.

A bucket is a flat, sorted set of keys; a directory tree can express most of them, not all. The
rules, for a directory whose keys start with ``prefix`` (empty, or ending in ``/``):

- ``prefix + name`` is a file, a longer key ``prefix + name + "/" + ...`` makes a directory.
- If both exist the directory has the name, so that every key below keeps its path, and the object
  is shown beside it as ``name~object``; not at all if it is empty (then it is a kind of marker),
  or if a real key makes an entry ``name~object``.
- ``prefix`` itself is the directory's marker, not an entry.
- A component that is empty, ``.``, ``..``, over 255 bytes or that contains NUL is hidden, and with
  it everything below. Hidden keys are handed to the caller by name.

`NameMerger` applies them to the pages of a delimited listing without ever taking a name back. Keys
come in the order of their UTF-8 bytes, in which ``a``, ``a-1`` and ``a/`` follow each other: what
``a`` is can be said only once the listing has passed ``a/``, maybe pages later. Names that wait for
this form a stack, because each starts with the one beneath it, and so the topmost is always the
first whose wait ends. The shadow ``a~object`` waits in the same way for ``a~object/``.
"""

from operator import itemgetter
from typing import NamedTuple

from ossfs_resume.oss.models import ListPage, ObjectMeta

MAX_NAME_BYTES = 255
"""NAME_MAX of Linux: the longest component of a path."""

MAX_KEY_BYTES = 1023
"""The longest key OSS accepts (oss-protocol section 9)."""

SHADOW_SUFFIX = b"~object"


class Named(NamedTuple):
    """One directory entry: an object, or a directory if ``meta`` is None.

    A named tuple, here and below, because a listing makes a hundred thousand of them, and a frozen
    dataclass costs three times as much to make.
    """

    name: bytes
    meta: ObjectMeta | None


def encode(key: str) -> bytes:
    """The bytes of a key, or of a part of one."""
    return key.encode("utf-8", "surrogateescape")


def decode(name: bytes) -> str:
    """The text of a name, from which `encode` makes the same bytes again."""
    return name.decode("utf-8", "surrogateescape")


def directory_prefix(path: str) -> str:
    """The prefix of all keys below ``path``, a directory given without its final slash or with."""
    return path if not path or path.endswith("/") else path + "/"


def is_prefix(path: str) -> bool:
    """A path names a directory if it ends in ``/`` or is the whole bucket."""
    return not path or path.endswith("/")


def is_at_or_below(path: str, of: str) -> bool:
    """Whether ``path`` is ``of`` or, if that names a directory, lies below it."""
    return path == of or (is_prefix(of) and path.startswith(of))


def parent_prefix(key: str) -> str:
    """The prefix of the directory that shows ``key``, an object or a directory's own prefix."""
    return key[: key.rstrip("/").rfind("/") + 1]


def is_representable(name: bytes) -> bool:
    """Whether a path can have this component."""
    return (
        0 < len(name) <= MAX_NAME_BYTES
        and b"\0" not in name
        and b"/" not in name
        and name not in (b".", b"..")
    )


def is_possible(key: str) -> bool:
    """Whether OSS could hold an object of this key, or below this prefix."""
    return len(encode(key)) <= MAX_KEY_BYTES


def shadowed(name: bytes) -> bytes | None:
    """The name of the object that ``name`` would show if it is a shadow's."""
    base = name.removesuffix(SHADOW_SUFFIX)
    return base if base != name and is_representable(base) else None


def has_shadow(meta: ObjectMeta) -> bool:
    """Whether an object whose name a directory has taken is shown beside it."""
    return meta.size > 0


class _Waiting(NamedTuple):
    """An object's name that is not certain until the listing has passed ``limit``."""

    limit: bytes
    name: bytes
    meta: ObjectMeta
    is_shadow: bool = False


class NameMerger:
    """The entries of one directory from the pages of its listing, as far as they are certain.

    ``marker`` is the directory's own marker object once seen. ``hidden`` collects the keys that no
    path can express, until the caller takes them with `take_hidden`.
    """

    def __init__(self, prefix: str) -> None:
        self.marker: ObjectMeta | None = None
        self._prefix = prefix
        self._waiting: list[_Waiting] = []
        self._hidden: list[str] = []
        self._position = b""
        self._complete = False

    def __repr__(self) -> str:
        return f"<NameMerger at={self._position!r} waiting={len(self._waiting)}>"

    def add(self, page: ListPage) -> list[Named]:
        """The entries that this page, the next one of the listing, makes certain."""
        start = len(encode(self._prefix))
        keys: list[tuple[bytes, ObjectMeta | None]] = [
            (encode(meta.key)[start:], meta) for meta in page.objects
        ]
        keys += [(encode(prefix)[start:], None) for prefix in page.prefixes]
        keys.sort(key=itemgetter(0))
        named: list[Named] = []
        waiting = self._waiting
        for key, meta in keys:
            while waiting and waiting[-1].limit < key:
                named.append(self._settle())
            if meta is not None:
                self._object(key, meta)
            elif self._is_directory(key):
                named.append(Named(key[:-1], None))
        if keys:
            self._position = keys[-1][0]
        if not page.next_token:
            self._complete = True
            named += (self._settle() for _ in range(len(self._waiting)))
        return named

    def has_passed(self, name: bytes) -> bool:
        """Whether all that the listing can say of ``name`` has been said."""
        return self._complete or name + b"/" <= self._position

    def take_hidden(self) -> list[str]:
        """The hidden keys (prefixes for hidden directories) since the last call."""
        hidden, self._hidden = self._hidden, []
        return hidden

    def _settle(self) -> Named:
        """The entry whose wait ends first is certain now."""
        wait = self._waiting.pop()
        return Named(wait.name, wait.meta)

    def _is_directory(self, key: bytes) -> bool:
        """Take note of a common prefix; whether it makes an entry."""
        if not is_representable(key[:-1]):
            self._hidden.append(self._prefix + decode(key))
            return False
        if self._waiting and self._waiting[-1].limit == key:
            self._displace(self._waiting.pop())
        return True

    def _displace(self, wait: _Waiting) -> None:
        """A directory has taken an object's name."""
        shadow = wait.name + SHADOW_SUFFIX
        if wait.is_shadow or (has_shadow(wait.meta) and not is_representable(shadow)):
            self._hidden.append(wait.meta.key)
        elif has_shadow(wait.meta):
            self._waiting.append(_Waiting(shadow + b"/", shadow, wait.meta, is_shadow=True))

    def _object(self, key: bytes, meta: ObjectMeta) -> None:
        if not key:
            self.marker = meta
        if not is_representable(key):
            if key or meta.size:
                self._hidden.append(meta.key)
            return
        if self._waiting and self._waiting[-1].is_shadow and self._waiting[-1].name == key:
            self._hidden.append(self._waiting.pop().meta.key)
        self._waiting.append(_Waiting(key + b"/", key, meta))
