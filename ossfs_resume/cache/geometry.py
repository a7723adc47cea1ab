"""Offsets and parts of one object.

A part is the unit of the bitmap, of the checksum and of resume. All parts of an object have the
same size except the last, which ends with the object. The part size is a power of two, so a part
never straddles two segments of a data file.
"""

from dataclasses import dataclass, field

MIN_PART_SIZE = 64 * 1024
MAX_PARTS = 1 << 20
"""Bounds the memory of a bitmap; OSS objects of 48.8 TiB then have parts of 64 MiB."""


def is_power_of_two(number: int) -> bool:
    """Whether ``number`` is 1, 2, 4, 8, ..."""
    return number > 0 and number & (number - 1) == 0


def fitting_part_size(size: int, preferred: int) -> int:
    """``preferred``, doubled until ``size`` bytes are at most MAX_PARTS parts; all in bytes."""
    while -(-size // preferred) > MAX_PARTS:
        preferred *= 2
    return preferred


@dataclass(frozen=True, slots=True)
class Geometry:
    """How an object of ``size`` bytes divides into parts of ``part_size`` bytes.

    Raises ValueError for a negative size, a part size that is not a power of two, or more than
    MAX_PARTS parts.
    """

    size: int
    part_size: int
    part_count: int = field(init=False, repr=False, compare=False)
    """Number of parts; 0 for an empty object."""

    def __post_init__(self) -> None:
        count = -(-self.size // self.part_size) if self.part_size else 0
        object.__setattr__(self, "part_count", count)
        if self.size < 0 or not is_power_of_two(self.part_size) or self.part_count > MAX_PARTS:
            raise ValueError(f"{self.size} bytes in parts of {self.part_size}")

    @classmethod
    def fitting(cls, size: int, preferred: int) -> "Geometry":
        """The geometry of an object that is stored for the first time."""
        return cls(size, fitting_part_size(size, preferred))

    @property
    def last_part_bytes(self) -> int:
        """Length of the last part; 0 for an empty object."""
        return self.size - max(0, self.part_count - 1) * self.part_size

    def parts(self, offset: int, length: int) -> range:
        """The parts that ``length`` bytes at ``offset`` touch, clipped at the end of the object."""
        stop = min(offset + length, self.size)
        if offset >= stop:
            return range(0)
        return range(offset // self.part_size, -(-stop // self.part_size))

    def span(self, part: int) -> tuple[int, int]:
        """The bytes [start, stop) of ``part``. Raises IndexError if there is no such part."""
        return self.bytes_of(part, part + 1)

    def bytes_of(self, first: int, stop: int) -> tuple[int, int]:
        """The bytes [start, stop) of the parts [first, stop). Raises IndexError outside."""
        if not 0 <= first <= stop <= self.part_count:
            raise IndexError(f"parts {first} to {stop} of {self.part_count}")
        return min(first * self.part_size, self.size), min(stop * self.part_size, self.size)

    def bytes_in(self, count: int, *, with_last: bool) -> int:
        """Bytes in ``count`` different parts, one of them the last if ``with_last``."""
        return count * self.part_size - with_last * (self.part_size - self.last_part_bytes)
