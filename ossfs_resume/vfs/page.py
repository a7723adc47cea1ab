"""Names of a directory and what they stand for, a page of a listing at a time, column by column.

Nearly all of a million names are files that nobody asks for: the kernel is told their numbers and
attributes, and that is all. So a row of a page is a number, a size, a time and an ETag in arrays;
a node (`nodes`) is made when somebody wants more of it, by the table of inodes, and then stands in
the place of the row. Directories, symlinks and what else is not plain are nodes from the beginning.
"""

from array import array
from collections.abc import Iterator, Sequence

from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.oss.columns import Objects
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.vfs.names import Source, decode, encode
from ossfs_resume.vfs.nodes import Node

UINT64, UINT32 = "Q", "L"


class Texts:
    """Many short texts, in one where they are of one length: ETags are."""

    __slots__ = ("_length", "_texts")

    def __init__(self, texts: Sequence[str]) -> None:
        self._length = len(texts[0]) if texts else 0
        is_even = self._length > 0 and set(map(len, texts)) == {self._length}
        self._texts: str | Sequence[str] = "".join(texts) if is_even else tuple(texts)

    def __getitem__(self, index: int) -> str:
        if not isinstance(self._texts, str):
            return self._texts[index]
        return self._texts[index * self._length : (index + 1) * self._length]

    def __iter__(self) -> Iterator[str]:
        if not isinstance(self._texts, str):
            return iter(self._texts)
        length = self._length
        return (self._texts[at : at + length] for at in range(0, len(self._texts), length))


class Columns:
    """What is said of the files of a page, row by row; nothing that means anything of others."""

    __slots__ = ("classes", "etags", "modified", "sizes", "types")

    def __init__(self, objects: Objects) -> None:
        self.sizes = objects.sizes
        self.modified = objects.modified
        self.etags = Texts(objects.etags)
        self.types = _shared(objects.types)
        self.classes = _shared(objects.classes)

    @classmethod
    def of(cls, objects: Sequence[ObjectMeta], sources: Sequence[Source]) -> "Columns":
        """The rows of these objects of a page, and of others."""
        head = next((at for at, one in enumerate(sources) if isinstance(one, int)), len(sources))
        first = sources[head] if head < len(sources) else 0
        if isinstance(objects, Objects) and isinstance(first, int):
            rows = range(first, first + len(sources) - head)
            if sources[head:] == list(rows):
                part = objects.part(rows)
                settled = [source for source in sources[:head] if not isinstance(source, int)]
                return cls(Objects.of(settled) + part if head else part)
        return cls(
            Objects.of(
                [objects[source] if isinstance(source, int) else source for source in sources]
            )
        )


class Page:
    """Names that became certain together, and the nodes of those that have one.

    ``confirmed_at`` is the monotonic time at which the origin vouched for the rows (NEVER: it has
    not, or is not believed any more, which ``doubted`` says), unless a node knows better.
    ``lookups`` counts what the kernel was told of the rows without a node; ``told`` is how many of
    them it knows, and ``number`` their page in the table of inodes.
    """

    __slots__ = (
        "_names",
        "_rows",
        "columns",
        "confirmed_at",
        "count",
        "doubted",
        "inodes",
        "lookups",
        "nodes",
        "number",
        "prefix",
        "told",
        "whole",
    )

    def __init__(
        self, prefix: str, names: Sequence[bytes], columns: Columns, confirmed_at: float
    ) -> None:
        self.prefix = prefix
        self.columns = columns
        self.count = len(names)
        self.confirmed_at = confirmed_at
        self.doubted = False
        self.nodes: dict[int, Node] = {}
        self.inodes = array(UINT64, bytes(8 * self.count))
        self.lookups = array(UINT32, bytes(array(UINT32).itemsize * self.count))
        self.number = 0
        self.told = 0
        self.whole: set[int] = set()
        """Rows of which all was in the cache when somebody last asked: a hint."""
        self._names = b"/".join(names)
        self._rows: dict[bytes, int] | None = None

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"<Page {self.prefix!r} {self.count} names, {len(self.nodes)} nodes>"

    def names(self) -> list[bytes]:
        """All names, made anew."""
        return self._names.split(b"/") if self.count else []

    def row(self, name: bytes) -> int | None:
        """Where a name stands."""
        if self._rows is None:
            self._rows = {each: row for row, each in enumerate(self.names())}
        return self._rows.get(name)

    def meta(self, row: int, name: bytes | None = None) -> ObjectMeta:
        """What the listing said of a file that has no node yet; its ``name``, if that is known."""
        columns = self.columns
        return ObjectMeta(
            self.prefix + decode(name or self.names()[row]),
            columns.sizes[row],
            columns.etags[row],
            columns.modified[row],
            object_type=columns.types[row],
            storage_class=columns.classes[row],
        )

    def row_of_version(self, version: ObjectVersion) -> int | None:
        """Where a version of this directory stands, if it is the one that was listed."""
        row = self.row(encode(version.key.removeprefix(self.prefix)))
        if row is None or self.columns.sizes[row] != version.size:
            return None
        return row if self.columns.etags[row] == version.etag else None

    def has_same(self, row: int, other: "Page", at: int) -> bool:
        """Whether two rows of one name, without nodes, stand for the same version."""
        mine, theirs = self.columns, other.columns
        return mine.sizes[row] == theirs.sizes[at] and mine.etags[row] == theirs.etags[at]


class _Same(Sequence[str]):
    """One text in every row."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: object) -> str:
        return self._text


def _shared(texts: Sequence[str]) -> Sequence[str]:
    return _Same(texts[0]) if len(set(texts)) == 1 else tuple(texts)
