"""What a request asks for: bucket, key and kind, from the bytes of its target and headers.

Keys are bytes throughout the endpoint: OSS orders them as bytes, and a key need not be valid
UTF-8. Nothing of the target is normalised: ``%2F``, ``..`` and ``//`` are part of the key.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote_to_bytes


class Kind(StrEnum):
    """What a request is counted as, and what faults are chosen by."""

    GET = "get"
    HEAD = "head"
    LIST = "list"
    PUT = "put"
    DELETE = "delete"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Request:
    """One OSS request. ``bucket`` is empty for the service, ``key`` for the bucket itself.

    ``query`` holds decoded names and values; header names are lower case, values latin-1.
    """

    method: str
    bucket: str
    key: bytes
    query: tuple[tuple[bytes, bytes], ...]
    headers: Mapping[str, str]

    @property
    def kind(self) -> Kind:
        """The operation, as far as counters and faults care."""
        if self.key:
            return _OBJECT_KINDS.get(self.method, Kind.OTHER)
        is_list = self.method == "GET" and self.bucket and not self.has_any(BUCKET_QUERIES)
        return Kind.LIST if is_list else Kind.OTHER

    def parameter(self, name: str) -> bytes | None:
        """The first value of a query parameter."""
        wanted = name.encode()
        return next((value for key, value in self.query if key == wanted), None)

    def has_any(self, names: Iterable[str]) -> str:
        """The first of ``names`` that the query contains, or an empty string."""
        return next((name for name in names if self.parameter(name) is not None), "")


BUCKET_QUERIES = (
    "location",
    "bucketInfo",
    "stat",
    "acl",
    "uploads",
    "versions",
    "versioning",
    "policy",
)
"""Parameters that make a GET of the bucket something else than a listing."""

_OBJECT_KINDS = {"GET": Kind.GET, "HEAD": Kind.HEAD, "PUT": Kind.PUT, "DELETE": Kind.DELETE}


def parse(
    method: str,
    raw_path: bytes,
    query_string: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    bucket: str,
) -> Request:
    """Read a request; a Host whose first label is ``bucket`` is of virtual-hosted style."""
    fields = _header_map(headers)
    if is_virtual_hosted(fields.get("host", ""), bucket):
        name, key = bucket, raw_path[1:]
    else:
        head, _, key = raw_path[1:].partition(b"/")
        name = unquote_to_bytes(head).decode("utf-8", "replace")
    return Request(method, name, unquote_to_bytes(key), _parse_query(query_string), fields)


def is_virtual_hosted(host: str, bucket: str) -> bool:
    """Whether a Host header names the bucket in its first label, as in ``bucket.localhost:80``."""
    label, dot, _ = host.partition(".")
    return bool(dot) and label == bucket


def _header_map(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def _parse_query(query_string: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Split and decode; ``+`` is a space, because oss2 sends spaces so and signs ``%20``."""
    pairs = (piece.partition(b"=") for piece in query_string.split(b"&") if piece)
    return tuple((_decode(name), _decode(value)) for name, _, value in pairs)


def _decode(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))
