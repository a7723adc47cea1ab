"""The objects of a page of a listing, column by column.

A directory may have a million names. A value of Python for each costs more, in memory and in time,
than everything else that is done with it; so it is made for those that somebody asks for.
"""

from array import array
from collections.abc import Iterator, Sequence
from operator import add
from typing import Any, overload

from ossfs_resume.oss.encoding import key_bytes
from ossfs_resume.oss.models import ObjectMeta

INT64 = "q"
_NOTHING = ObjectMeta("", 0, "", 0)


class Objects(Sequence[ObjectMeta]):
    """What a listing says of each object: all of it, for it knows no CRC and no version id."""

    __slots__ = ("_encoded", "classes", "etags", "keys", "modified", "sizes", "types")

    def __init__(
        self,
        keys: list[str],
        sizes: "array[int]",
        etags: list[str],
        modified: "array[int]",
        types: list[str],
        classes: list[str],
    ) -> None:
        self.keys = keys
        self.sizes = sizes
        self.etags = etags
        self.modified = modified
        self.types = types
        self.classes = classes
        self._encoded: list[bytes] | None = None

    @classmethod
    def of(cls, metas: Sequence[ObjectMeta | None]) -> "Objects":
        """What a listing could say of these; nothing where there is None."""
        found = [meta or _NOTHING for meta in metas]
        return cls(
            [meta.key for meta in found],
            array(INT64, [meta.size for meta in found]),
            [meta.etag for meta in found],
            array(INT64, [meta.modified for meta in found]),
            [meta.object_type for meta in found],
            [meta.storage_class for meta in found],
        )

    def part(self, rows: range) -> "Objects":
        """Some, one after the other."""
        return Objects(*(column[rows.start : rows.stop] for column in self._columns()))

    def __add__(self, other: "Objects") -> "Objects":
        return Objects(*map(add, self._columns(), other._columns()))

    def _columns(self) -> tuple[Any, ...]:
        return self.keys, self.sizes, self.etags, self.modified, self.types, self.classes

    def encoded_keys(self) -> list[bytes]:
        """The bytes of all keys."""
        if self._encoded is None:
            self._encoded = encoded_texts(self.keys)
        return self._encoded

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        return f"<Objects {len(self)}>"

    @overload
    def __getitem__(self, index: int) -> ObjectMeta: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ObjectMeta, ...]: ...
    def __getitem__(self, index: int | slice) -> ObjectMeta | tuple[ObjectMeta, ...]:
        if isinstance(index, slice):
            return tuple(map(self.__getitem__, range(*index.indices(len(self)))))
        return ObjectMeta(
            self.keys[index],
            self.sizes[index],
            self.etags[index],
            self.modified[index],
            object_type=self.types[index],
            storage_class=self.classes[index],
        )

    def __iter__(self) -> Iterator[ObjectMeta]:
        return map(self.__getitem__, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Objects | tuple | list):
            return NotImplemented
        return tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]


def encoded_keys(objects: Sequence[ObjectMeta]) -> list[bytes]:
    """The bytes of the keys of any objects."""
    if isinstance(objects, Objects):
        return objects.encoded_keys()
    return [key_bytes(meta.key) for meta in objects]


def keys_of(objects: Sequence[ObjectMeta]) -> list[str]:
    """The keys of any objects."""
    return objects.keys if isinstance(objects, Objects) else [meta.key for meta in objects]


def types_of(objects: Sequence[ObjectMeta]) -> list[str]:
    """The types of any objects."""
    if isinstance(objects, Objects):
        return objects.types
    return [meta.object_type for meta in objects]


def encoded_texts(texts: list[str]) -> list[bytes]:
    """The bytes of each text: of all at once where that can be told apart again."""
    encoded = key_bytes("\n".join(texts)).split(b"\n")
    return encoded if len(encoded) == len(texts) else list(map(key_bytes, texts))
