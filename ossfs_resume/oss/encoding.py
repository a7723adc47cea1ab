"""Percent-encoding exactly as OSS signs it, and which XML is not looked at.

OSS encodes the UTF-8 bytes of a text and leaves only ``A-Z a-z 0-9 - _ . ~`` as they are
(https://www.alibabacloud.com/help/en/oss/developer-reference/recommend-to-use-signature-version-4).
A text with illegal bytes carries them as surrogate escapes, so they survive the round trip.
"""

from collections.abc import Iterable
from urllib.parse import quote, unquote_to_bytes

Query = tuple[tuple[str, str], ...]
"""Decoded names and values of a query string; an empty value stands for a bare name."""


def percent_encode(text: str, *, safe: str = "") -> str:
    """``text`` with every byte encoded that is neither unreserved nor in ``safe``."""
    return quote(text.encode("utf-8", "surrogateescape"), safe=safe)


def percent_decode(text: str) -> str:
    """The inverse of ``percent_encode``; ``+`` stays ``+``."""
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape") if "%" in text else text


def encode_query(query: Iterable[tuple[str, str]]) -> str:
    """The canonical query string: sorted by encoded name, empty values as bare names.

    The same text is signed and sent, so that no library can come between the two.
    """
    pairs = sorted((percent_encode(name), percent_encode(value)) for name, value in query)
    return "&".join(f"{name}={value}" if value else name for name, value in pairs)


def key_bytes(key: str) -> bytes:
    """The bytes of a key, in whose order an origin lists."""
    return key.encode("utf-8", "surrogateescape")


def may_declare(document: bytes) -> bool:
    """Whether XML may declare entities, which may explode: OSS's never does.

    Text in UTF-16 or UTF-32 would hide it. XML in UTF-8, as OSS sends it, has no zero bytes.
    """
    return b"<!DOCTYPE" in document or b"\0" in document
