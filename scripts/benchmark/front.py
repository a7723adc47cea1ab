"""Listings for the benchmark's origin: ListObjects and ListObjectsV2 over names and sizes.

Both dialects ask alike and understand the same answer. nginx sends the bytes, and hands what is
asked of the bucket itself to this server, over a Unix socket. Pages are kept; the rounds take turns
in who comes first, so nobody always finds the slower origin.
"""

import socketserver
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from functools import lru_cache
from http.server import BaseHTTPRequestHandler
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlsplit

MAX_KEYS = 1000
DATE = "2026-01-02T03:04:05.000Z"


class Item(NamedTuple):
    """An object: its size in bytes, its ETag without quotes."""

    size: int
    etag: str


class Listing:
    """A bucket's keys in their order, and pages of them as XML."""

    def __init__(self, items: Mapping[str, Item]) -> None:
        self._items = items
        self._keys = sorted(items, key=str.encode)
        self.page = lru_cache(maxsize=4096)(self._page)

    def _page(self, prefix: str, delimiter: str, after: str, limit: int, is_v2: bool) -> bytes:
        keys, prefixes, last = self._cut(prefix, delimiter, after, limit)
        is_more = bool(last) and self._has_more(prefix, delimiter, last)
        parts = [f"<Prefix>{quote(prefix)}</Prefix><EncodingType>url</EncodingType>"]
        parts.append(f"<MaxKeys>{limit}</MaxKeys><IsTruncated>{str(is_more).lower()}</IsTruncated>")
        if is_v2:
            parts.append(f"<KeyCount>{len(keys) + len(prefixes)}</KeyCount>")
        if is_more:
            name = "NextContinuationToken" if is_v2 else "NextMarker"
            parts.append(f"<{name}>{quote(last)}</{name}>")
        parts += map(self._contents, keys)
        parts += [
            f"<CommonPrefixes><Prefix>{quote(one)}</Prefix></CommonPrefixes>" for one in prefixes
        ]
        body = "".join(parts)
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<ListBucketResult><Name>sample</Name>{body}</ListBucketResult>"
        ).encode()

    def _cut(
        self, prefix: str, delimiter: str, after: str, limit: int
    ) -> tuple[Sequence[str], Sequence[str], str]:
        keys: list[str] = []
        prefixes: list[str] = []
        last = after
        place = max(bisect_left(self._keys, prefix), bisect_right(self._keys, after))
        while place < len(self._keys) and len(keys) + len(prefixes) < limit:
            key = self._keys[place]
            if not key.startswith(prefix):
                break
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            if end < 0:
                keys.append(key)
                last, place = key, place + 1
                continue
            last = key[: end + len(delimiter)]
            if last != after:
                prefixes.append(last)
            place = bisect_left(self._keys, last + "\U0010ffff")
        return keys, prefixes, last

    def _has_more(self, prefix: str, delimiter: str, last: str) -> bool:
        is_group = bool(delimiter) and last.endswith(delimiter)
        place = bisect_right(self._keys, last + "\U0010ffff" if is_group else last)
        return place < len(self._keys) and self._keys[place].startswith(prefix)

    def _contents(self, key: str) -> str:
        size, etag = self._items[key]
        return (
            f"<Contents><Key>{quote(key)}</Key><LastModified>{DATE}</LastModified>"
            f"<ETag>&quot;{etag}&quot;</ETag><Type>Normal</Type><Size>{size}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    listing: Listing

    def do_GET(self) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        if "location" in query:
            self._answer(b"<LocationConstraint></LocationConstraint>")
            return
        is_v2 = query.get("list-type") == "2"
        after = query.get("continuation-token") or query.get("start-after")
        self._answer(
            self.listing.page(
                query.get("prefix", ""),
                query.get("delimiter", ""),
                (after if is_v2 else query.get("marker")) or "",
                min(int(query.get("max-keys", MAX_KEYS)), MAX_KEYS),
                is_v2,
            )
        )

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "nginx"

    def log_message(self, *arguments: object) -> None:
        pass


class Front(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves listings on a Unix socket."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: str, listing: Listing) -> None:
        super().__init__(path, type("Handler", (_Handler,), {"listing": listing}))
