"""Signatures of OSS requests: version 4, and version 1 for deployments that know no other.

Version 4: https://www.alibabacloud.com/help/en/oss/developer-reference/recommend-to-use-signature-version-4
Version 1: https://www.alibabacloud.com/help/en/oss/developer-reference/include-signatures-in-the-authorization-header

Every function takes a ``Request`` and returns it with the signature added. Times are Unix seconds.
``Range`` and ``If-Match`` are outside both signatures unless they are named as additional headers.

The functions are pure; a `Signer` has the key and the time of the moment.
"""

import hmac
import logging
from base64 import b64encode
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache
from hashlib import sha256
from typing import Literal

from ossfs_resume.loops import Loop
from ossfs_resume.oss.credentials import CredentialsProvider
from ossfs_resume.oss.encoding import encode_query, percent_encode
from ossfs_resume.oss.endpoint import Endpoint
from ossfs_resume.oss.headers import parse_http_date
from ossfs_resume.oss.models import Credentials
from ossfs_resume.oss.request import Request

ALGORITHM = "OSS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"

# Version 1 signs certain query parameters and no others. These are the ones of reading requests
# among those that oss2 and alibabacloud_oss_v2 list.
_V1_SUBRESOURCES = frozenset(
    "acl append bucketInfo continuation-token location objectMeta partNumber resourceGroup restore "
    "response-cache-control response-content-disposition response-content-encoding "
    "response-content-language response-content-type response-expires security-token stat symlink "
    "tagging uploadId uploads versionId versioning versions x-oss-process x-oss-request-payer "
    "x-oss-traffic-limit".split()
)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a version 4 signature is good for, besides its day."""

    region: str
    product: str = "oss"

    def on(self, day: str) -> str:
        """The scope text of one day, ``YYYYMMDD``."""
        return f"{day}/{self.region}/{self.product}/aliyun_v4_request"


def sign_v4(
    request: Request,
    credentials: Credentials,
    scope: Scope,
    now: float,
    additional: Collection[str] = (),
) -> Request:
    """Version 4 in the Authorization header. ``additional`` names further headers to sign."""
    stamp = _timestamp(int(now))
    added = {"x-oss-content-sha256": UNSIGNED_PAYLOAD, "x-oss-date": stamp}
    if credentials.security_token:
        added["x-oss-security-token"] = credentials.security_token
    request = request.with_headers(added)
    names = additional_headers(request, additional)
    parts = [f"Credential={credentials.access_key_id}/{scope.on(stamp[:8])}"]
    parts += [f"AdditionalHeaders={';'.join(names)}"] if names else []
    parts += [f"Signature={_signature_v4(request, credentials, scope, stamp, names)}"]
    return request.with_headers({"authorization": f"{ALGORITHM} {','.join(parts)}"})


def presign_v4(
    request: Request,
    credentials: Credentials,
    scope: Scope,
    now: float,
    expires_s: int,
    additional: Collection[str] = (),
) -> Request:
    """Version 4 in the query; valid for ``expires_s`` seconds, at most seven days."""
    stamp = _timestamp(int(now))
    names = additional_headers(request, additional)
    query = [
        ("x-oss-signature-version", ALGORITHM),
        ("x-oss-credential", f"{credentials.access_key_id}/{scope.on(stamp[:8])}"),
        ("x-oss-date", stamp),
        ("x-oss-expires", str(expires_s)),
    ]
    if credentials.security_token:
        query.append(("x-oss-security-token", credentials.security_token))
    if names:
        query.append(("x-oss-additional-headers", ";".join(names)))
    request = request.with_query(*query)
    signature = _signature_v4(request, credentials, scope, stamp, names)
    return request.with_query(("x-oss-signature", signature))


def additional_headers(request: Request, wanted: Collection[str]) -> list[str]:
    """Those of ``wanted`` that are present and not signed anyway: lower case, sorted."""
    names = {name.lower() for name in wanted}
    return sorted(n for n in names if n in request.headers and not _always_signed(n))


def canonical_request(request: Request, additional: Collection[str] = ()) -> str:
    """The text whose hash is signed; ``additional`` as ``additional_headers`` returned it."""
    signed = sorted(n for n in request.headers if _always_signed(n) or n in additional)
    headers = "".join(f"{name}:{request.headers[name].strip()}\n" for name in signed)
    uri = percent_encode(request.resource, safe="/")
    query, names = encode_query(request.query), ";".join(additional)
    return "\n".join((request.method, uri, query, headers, names, UNSIGNED_PAYLOAD))


@lru_cache(maxsize=4)
def signing_key(secret: str, day: str, scope: Scope) -> bytes:
    """The key of one day (``YYYYMMDD``), derived step by step from the secret."""
    key = f"aliyun_v4{secret}".encode()
    for step in scope.on(day).split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    return key


def sign_v1(request: Request, credentials: Credentials, now: float) -> Request:
    """Version 1 in the Authorization header. An ``x-oss-date`` that is present dates it."""
    added = {} if "x-oss-date" in request.headers else {"date": formatdate(now, usegmt=True)}
    if credentials.security_token:
        added["x-oss-security-token"] = credentials.security_token
    request = request.with_headers(added)
    date = request.headers.get("x-oss-date") or request.headers["date"]
    signature = _signature_v1(request, credentials, date)
    return request.with_headers({"authorization": f"OSS {credentials.access_key_id}:{signature}"})


def presign_v1(request: Request, credentials: Credentials, expires_at: int) -> Request:
    """Version 1 in the query; valid until ``expires_at``."""
    if credentials.security_token:
        request = request.with_query(("security-token", credentials.security_token))
    signature = _signature_v1(request, credentials, str(expires_at))
    return request.with_query(
        ("OSSAccessKeyId", credentials.access_key_id),
        ("Expires", str(expires_at)),
        ("Signature", signature),
    )


def _signature_v4(
    request: Request, credentials: Credentials, scope: Scope, stamp: str, names: Collection[str]
) -> str:
    digest = sha256(canonical_request(request, names).encode()).hexdigest()
    text = "\n".join((ALGORITHM, stamp, scope.on(stamp[:8]), digest))
    key = signing_key(credentials.access_key_secret, stamp[:8], scope)
    return hmac.digest(key, text.encode(), "sha256").hex()


def _signature_v1(request: Request, credentials: Credentials, date: str) -> str:
    headers = request.headers
    first = (request.method, headers.get("content-md5", ""), headers.get("content-type", ""), date)
    oss = "".join(f"{n}:{headers[n].strip()}\n" for n in sorted(headers) if n.startswith("x-oss-"))
    signed = sorted((n, v) for n, v in request.query if n in _V1_SUBRESOURCES)
    query = "&".join(f"{name}={value}" if value else name for name, value in signed)
    text = "\n".join(first) + "\n" + oss + request.resource + (f"?{query}" if query else "")
    message = text.encode("utf-8", "surrogateescape")
    digest = hmac.digest(credentials.access_key_secret.encode(), message, "sha1")
    return b64encode(digest).decode("ascii")


def _always_signed(name: str) -> bool:
    return name.startswith("x-oss-") or name in ("content-type", "content-md5")


@lru_cache(maxsize=2)
def _timestamp(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y%m%dT%H%M%SZ")


log = logging.getLogger(__name__)

SignatureVersion = Literal["v4", "v1"]


class Signer:
    """Each attempt is signed anew: the time, the token or the known error of the clock differ."""

    def __init__(
        self,
        endpoint: Endpoint,
        version: SignatureVersion,
        credentials: CredentialsProvider,
        clock: Callable[[], float],
    ) -> None:
        self._scope = Scope(endpoint.region, endpoint.product)
        self._version = version
        self._credentials = credentials
        self._clock = clock
        self._offset_s = 0.0
        self.home: Loop | None = None
        """Where the source of keys lives; None: with whoever asks."""

    @property
    def key_source(self) -> str:
        """Where keys come from."""
        return self._credentials.origin

    async def sign(self, request: Request) -> tuple[Request, Credentials | None]:
        """The request as it is sent, and the key it is signed with (None: anonymous)."""
        if fresh := self._credentials.fresh():
            credentials = fresh[0]
        else:
            current = self._credentials.current
            credentials = await (current() if self.home is None else self.home.call(current))
        if credentials is None:
            return request, None
        now = self._clock() + self._offset_s
        if self._version == "v1":
            return sign_v1(request, credentials, now), credentials
        return sign_v4(request, credentials, self._scope, now), credentials

    def correct_clock(self, date: str) -> None:
        """Takes over the time of the origin from the Date header of an answer.

        OSS accepts 15 minutes of difference; a machine with a wrong clock works on.
        """
        try:
            offset_s = parse_http_date(date) - self._clock()
        except ValueError:
            return
        if abs(offset_s - self._offset_s) > 60:
            log.warning("this machine's clock is wrong by %.0f s; set it", -offset_s)
        self._offset_s = offset_s

    def renew(self, credentials: Credentials) -> bool:
        """The origin takes them for expired; True if there may be others."""
        return self._credentials.refused(credentials)
