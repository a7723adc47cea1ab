"""CRC-64/XZ, as in the header ``x-oss-hash-crc64ecma``, and its algebra.

The algorithm is reflected with initial value and final xor of all ones, so that
``crc(A + B) = crc(A) * x^(8 * len(B)) mod P  xor  crc(B)`` without any further correction, and the
CRC of nothing is 0. Numbers are polynomials over GF(2) with x^0 in the highest bit.

Multiplying bit by bit takes 64 steps. For the one factor that is used for every part of an object,
the products of each byte in each of its eight places are tabled, and eight look-ups do.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from fastcrc import crc64 as _fastcrc

_POLYNOMIAL = 0xC96C5795D7870F42
_ONE = 1 << 63


def checksum(chunks: Iterable[bytes | memoryview]) -> int:
    """The CRC-64/XZ of the concatenated ``chunks``, unsigned."""
    crc = 0
    for chunk in chunks:
        crc = _fastcrc.xz(chunk, crc)
    return crc


def combine(first: int, second: int, second_length: int) -> int:
    """The CRC of A + B from the CRC of A, the CRC of B and the length of B in bytes."""
    return _multiply(_shift_factor(second_length), first) ^ second


def combine_parts(crcs: Sequence[int], part_size: int, last_length: int) -> int:
    """The CRC of a sequence of parts of ``part_size`` bytes, the last of ``last_length``."""
    if len(crcs) <= 1:
        return crcs[0] if crcs else 0
    t0, t1, t2, t3, t4, t5, t6, t7 = _shift_tables(part_size)
    crc = 0
    for part in crcs[:-1]:
        crc = (
            t0[crc & 255]
            ^ t1[crc >> 8 & 255]
            ^ t2[crc >> 16 & 255]
            ^ t3[crc >> 24 & 255]
            ^ t4[crc >> 32 & 255]
            ^ t5[crc >> 40 & 255]
            ^ t6[crc >> 48 & 255]
            ^ t7[crc >> 56]
            ^ part
        )
    return combine(crc, crcs[-1], last_length)


def _times_x(number: int) -> int:
    return number >> 1 ^ (_POLYNOMIAL if number & 1 else 0)


def _multiply(a: int, b: int) -> int:
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = a << 1 & 0xFFFFFFFFFFFFFFFF
        b = _times_x(b)
    return product


@lru_cache(maxsize=256)
def _shift_factor(length: int) -> int:
    """x^(8 * length) mod P, by repeated squaring."""
    factor, square, exponent = _ONE, _ONE >> 1, 8 * length
    while exponent:
        if exponent & 1:
            factor = _multiply(factor, square)
        square = _multiply(square, square)
        exponent >>= 1
    return factor


@lru_cache(maxsize=16)
def _shift_tables(length: int) -> tuple[list[int], ...]:
    """Table i maps a byte at bits [8i, 8i + 8) to its product with x^(8 * length)."""
    images = [_shift_factor(length)]
    for _ in range(63):
        images.append(_times_x(images[-1]))
    images.reverse()
    return tuple(_linear_table(images[place : place + 8]) for place in range(0, 64, 8))


def _linear_table(images: Sequence[int]) -> list[int]:
    table = [0]
    for image in images:
        table += [entry ^ image for entry in table]
    return table
