"""Cut a stream of bytes into parts, gathered until they are worth a write."""

from ossfs_resume.cache.geometry import Geometry


class PartBatch:
    """Parts that arrived but are not written yet, for a stream that starts at part ``first``.

    Chunks are kept as they came; only one that crosses a part's border is cut.
    """

    def __init__(self, geometry: Geometry, first: int) -> None:
        self._geometry = geometry
        self._chunks: list[bytes] = []
        self._room = self._length_of(first)
        self._parts: list[list[bytes]] = []
        self.first = first
        """Number of the first part that is not written yet."""
        self.whole_bytes = 0
        """Bytes in whole parts."""

    def __len__(self) -> int:
        """Whole parts at hand."""
        return len(self._parts)

    def add(self, chunk: bytes) -> None:
        """Append the next bytes of the stream."""
        start = 0
        while len(chunk) - start >= self._room:
            stop = start + self._room
            self._chunks.append(chunk[start:stop])
            self._finish_part()
            start = stop
        if start < len(chunk):
            self._chunks.append(chunk[start:])
            self._room -= len(chunk) - start

    def take(self) -> tuple[int, list[list[bytes]]]:
        """Hand over the whole parts: the number of the first, and each as its chunks."""
        first, parts = self.first, self._parts
        self.first += len(parts)
        self._parts, self.whole_bytes = [], 0
        return first, parts

    def _finish_part(self) -> None:
        self._parts.append(self._chunks)
        self.whole_bytes += sum(map(len, self._chunks))
        self._chunks = []
        following = self.first + len(self._parts)
        self._room = self._length_of(following)

    def _length_of(self, part: int) -> int:
        if part >= self._geometry.part_count:
            # Nothing may follow the last part; a stream that goes on never finishes another.
            return self._geometry.part_size
        start, stop = self._geometry.span(part)
        return stop - start
