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

A `NamesDigest` says whether two listings showed the same names, without keeping either.
"""

from collections.abc import Sequence
from hashlib import blake2b
from itertools import count
from operator import itemgetter
from typing import NamedTuple, TypeAlias

from ossfs_resume.oss.columns import encoded_keys
from ossfs_resume.oss.models import ListPage, ObjectMeta

MAX_NAME_BYTES = 255
"""NAME_MAX of Linux: the longest component of a path."""

MAX_KEY_BYTES = 1023
"""The longest key OSS accepts (oss-protocol section 9)."""

SHADOW_SUFFIX = b"~object"


Source: TypeAlias = int | ObjectMeta | None
"""What an entry is of: the object of this number of the page, one of an earlier page, or (None) a
directory."""


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


def are_apart(names: Sequence[bytes]) -> bool:
    """Whether all these, in their order, are representable, and none is the beginning of the next:
    then none has to wait for a directory of its name."""
    text = b"/".join(names)
    return (
        bool(names)
        and text.count(b"/") == len(names) - 1
        and b"\0" not in text
        and len(names[0]) > 0
        and max(map(len, names)) <= MAX_NAME_BYTES
        and b"." not in names
        and b".." not in names
        and not any(map(bytes.startswith, names[1:], names))
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
    source: int | ObjectMeta
    is_shadow: bool = False


class NameMerger:
    """The entries of one directory from the pages of its listing, as far as they are certain.

    ``marker`` is the directory's own marker object once seen. ``hidden`` collects the keys that no
    path can express, until the caller takes them with `take_hidden`.
    """

    def __init__(self, prefix: str) -> None:
        self.marker: ObjectMeta | None = None
        self._prefix = prefix
        self._start = len(encode(prefix))
        self._objects: Sequence[ObjectMeta] = ()
        self._waiting: list[_Waiting] = []
        self._hidden: list[str] = []
        self._position = b""
        self._complete = False

    def __repr__(self) -> str:
        return f"<NameMerger at={self._position!r} waiting={len(self._waiting)}>"

    def add(self, page: ListPage) -> tuple[list[bytes], Sequence[Source]]:
        """The entries that this page, the next one of the listing, makes certain: their names, and
        what each is of."""
        self._objects = page.objects
        keys, sources = self._sorted(page)
        names: list[bytes] = []
        found: list[Source] = []
        while keys and self._waiting and self._waiting[-1].limit < keys[0]:
            self._settle(names, found)
        if not self._waiting and not page.prefixes and are_apart(keys):
            names += keys[:-1]
            found += sources[:-1]
            keys, sources = keys[-1:], sources[-1:]
        for key, source in zip(keys, sources, strict=True):
            while self._waiting and self._waiting[-1].limit < key:
                self._settle(names, found)
            if source is not None:
                self._object(key, source)
            elif self._is_directory(key):
                names.append(key[:-1])
                found.append(None)
            self._position = key
        self._complete = not page.next_token
        while self._complete and self._waiting:
            self._settle(names, found)
        self._waiting = [wait._replace(source=self._meta(wait.source)) for wait in self._waiting]
        self._objects = ()
        return names, found

    def has_passed(self, name: bytes) -> bool:
        """Whether all that the listing can say of ``name`` has been said."""
        return self._complete or name + b"/" <= self._position

    def take_hidden(self) -> list[str]:
        """The hidden keys (prefixes for hidden directories) since the last call."""
        hidden, self._hidden = self._hidden, []
        return hidden

    def _sorted(self, page: ListPage) -> tuple[list[bytes], Sequence[int | None]]:
        """What follows the directory's prefix in the keys of a page, in order, and their objects'
        numbers, None for common prefixes."""
        keys = [key[self._start :] for key in encoded_keys(page.objects)]
        if not page.prefixes and keys == sorted(keys):
            return keys, range(len(keys))
        numbered: list[tuple[bytes, int | None]] = list(zip(keys, count(), strict=False))
        numbered += [(encode(prefix)[self._start :], None) for prefix in page.prefixes]
        numbered.sort(key=itemgetter(0))
        return [key for key, _ in numbered], [number for _, number in numbered]

    def _meta(self, source: int | ObjectMeta) -> ObjectMeta:
        return self._objects[source] if isinstance(source, int) else source

    def _settle(self, names: list[bytes], sources: list[Source]) -> None:
        """The entry whose wait ends first is certain now."""
        wait = self._waiting.pop()
        names.append(wait.name)
        sources.append(wait.source)

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
        shadow, meta = wait.name + SHADOW_SUFFIX, self._meta(wait.source)
        if wait.is_shadow or (has_shadow(meta) and not is_representable(shadow)):
            self._hidden.append(meta.key)
        elif has_shadow(meta):
            self._waiting.append(_Waiting(shadow + b"/", shadow, meta, is_shadow=True))

    def _object(self, key: bytes, source: int) -> None:
        if not is_representable(key):
            self._unrepresentable(key, self._objects[source])
            return
        if self._waiting and self._waiting[-1].is_shadow and self._waiting[-1].name == key:
            self._hidden.append(self._meta(self._waiting.pop().source).key)
        self._waiting.append(_Waiting(key + b"/", key, source))

    def _unrepresentable(self, key: bytes, meta: ObjectMeta) -> None:
        if not key:
            self.marker = meta
        if key or meta.size:
            self._hidden.append(meta.key)


class NamesDigest:
    """The names of a listing in their order, page by page: all at once they may be 100 MB."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)
        self._is_empty = True

    def add(self, names: list[bytes]) -> None:
        """The names that follow."""
        if names:
            self._hash.update(b"/".join(names if self._is_empty else [b"", *names]))
            self._is_empty = False

    def value(self) -> bytes:
        """Of all names so far, however they were divided."""
        return self._hash.digest()
