"""The requests this client makes, as values: what to ask, before it is signed and sent."""

from dataclasses import dataclass, field, replace

from ossfs_resume import __version__
from ossfs_resume.oss.encoding import Query, encode_query
from ossfs_resume.oss.endpoint import Endpoint
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.oss.paging import MARKER

USER_AGENT = f"ossfs-resume/{__version__}"


@dataclass(frozen=True, slots=True)
class Request:
    """A request; only those to STS have a body.

    ``path`` is encoded and sent as it stands; ``resource`` is the plain ``/bucket/key`` that
    signatures name; ``query`` is decoded; header names are lower-case.
    """

    method: str
    path: str
    resource: str
    query: Query = ()
    # Signed headers carry tokens.
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def target(self) -> str:
        """Path and query exactly as they go on the wire."""
        return f"{self.path}?{encode_query(self.query)}" if self.query else self.path

    def with_headers(self, headers: dict[str, str]) -> "Request":
        """The same request with more headers."""
        return replace(self, headers=self.headers | headers)

    def with_query(self, *pairs: tuple[str, str]) -> "Request":
        """The same request with more query parameters."""
        return replace(self, query=(*self.query, *pairs))


def list_request(
    endpoint: Endpoint, prefix: str, *, token: str, delimiter: str, max_keys: int
) -> Request:
    """ListObjectsV2, or ListObjects after a token that a server without it led to.

    Keys are asked for encoded: XML cannot carry control characters.
    """
    is_marker = token.startswith(MARKER)
    wanted = (
        ("list-type", "" if is_marker else "2"),
        ("encoding-type", "url"),
        ("max-keys", str(max_keys)),
        ("prefix", prefix),
        ("delimiter", delimiter),
        ("marker" if is_marker else "continuation-token", token.removeprefix(MARKER)),
    )
    query = tuple((name, value) for name, value in wanted if value)
    return Request("GET", endpoint.bucket_path, endpoint.resource(), query, _headers())


def head_request(endpoint: Endpoint, key: str) -> Request:
    """HeadObject."""
    return Request("HEAD", endpoint.object_path(key), endpoint.resource(key), (), _headers())


def symlink_request(endpoint: Endpoint, key: str) -> Request:
    """GetSymlink."""
    path, resource = endpoint.object_path(key), endpoint.resource(key)
    return Request("GET", path, resource, (("symlink", ""),), _headers())


def range_request(endpoint: Endpoint, meta: ObjectMeta, start: int, stop: int) -> Request:
    """GetObject of the bytes ``[start, stop)`` of exactly the version ``meta``.

    Without ``x-oss-range-behavior`` OSS answers a range it finds odd with the whole object.
    """
    headers = _headers() | {
        "range": f"bytes={start}-{stop - 1}",
        "x-oss-range-behavior": "standard",
    }
    if meta.access != "grown":
        headers["if-match"] = f'"{meta.etag}"'
    query = (("versionId", meta.version_id),) if meta.access == "pinned" else ()
    path, resource = endpoint.object_path(meta.key), endpoint.resource(meta.key)
    return Request("GET", path, resource, query, headers)


def _headers() -> dict[str, str]:
    # Any other Accept-Encoding makes OSS compress text on the fly: no length, no ETag, no ranges.
    return {"accept-encoding": "identity", "user-agent": USER_AGENT}
