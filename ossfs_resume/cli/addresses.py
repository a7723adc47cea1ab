"""Addresses of what is cached, as the ``cache`` commands print and take them.

``oss://BUCKET/KEY`` is enough as long as the cache directory has one bucket of that name. Buckets
of different clouds or private endpoints may share a name; then ``oss://BUCKET@ENDPOINT/KEY`` says
which one is meant. No bucket's name has an ``@`` in it, so neither can be taken for the other.
``ENDPOINT`` is the host and port of a private endpoint, ``aliyuncs`` for the public cloud.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from ossfs_resume.config import parse_source


@dataclass(frozen=True, slots=True)
class Address:
    """A bucket, or a key or a directory of it (``path``)."""

    bucket: str
    endpoint: str
    path: str

    def is_of(self, identity: str) -> bool:
        """Whether the store of this identity is meant."""
        endpoint, bucket = _parts(identity)
        return self.bucket == bucket and self.endpoint in ("", endpoint)

    def __str__(self) -> str:
        return _joined(self.bucket, self.endpoint, self.path)


def parse(text: str) -> Address:
    """What somebody typed or pasted. Raises SettingsError."""
    scheme, separator, rest = text.partition("://")
    place, _, path = rest.partition("/")
    bucket, _, endpoint = place.partition("@")
    parse_source(f"{scheme}{separator}{bucket}")
    return Address(bucket, endpoint, path)


class Names:
    """What the stores of one cache directory are called."""

    def __init__(self, identities: Iterable[str]) -> None:
        self._places = {identity: _parts(identity) for identity in identities}
        self._buckets = Counter(bucket for _, bucket in self._places.values())

    @property
    def identities(self) -> list[str]:
        """The stores in the order of their addresses."""
        return sorted(self._places, key=self.address)

    def address(self, identity: str, path: str = "") -> str:
        """The address that means this and nothing else."""
        endpoint, bucket = self._places[identity]
        return _joined(bucket, endpoint if self._buckets[bucket] > 1 else "", path)


def _joined(bucket: str, endpoint: str, path: str) -> str:
    place = f"{bucket}@{endpoint}" if endpoint else bucket
    return f"oss://{place}/{path}" if path else f"oss://{place}"


def _parts(identity: str) -> tuple[str, str]:
    """Endpoint and bucket of an identity, which `oss.endpoint.cache_identity` puts together."""
    cloud, _, bucket = identity.rpartition("+")
    host, separator, port = cloud.partition("+")
    host = unquote(host)
    return (f"[{host}]" if ":" in host else host) + separator.replace("+", ":") + port, bucket
