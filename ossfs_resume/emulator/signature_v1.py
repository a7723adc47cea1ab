"""Verification of V1 signatures (HMAC-SHA1), in the Authorization header or in the query.

Written from OSS's description ("Include a V1 signature in a header / URL") and not from the
client's signer. Only deployments from before 2025 accept them; so does this one on request.
"""

import hmac
from base64 import b64encode
from email.utils import parsedate_to_datetime

from ossfs_resume.emulator.refusal import Refusal
from ossfs_resume.emulator.request import Request
from ossfs_resume.emulator.signature import MAX_SKEW_S, Account

SUBRESOURCES = frozenset(
    b"acl append bucketInfo cname comp continuation-token cors delete encryption endTime img "
    b"lifecycle live location logging objectMeta partData partNumber policy position qos referer "
    b"replication replicationLocation replicationProgress requestPayment resourceGroup restore "
    b"response-cache-control response-content-disposition response-content-encoding "
    b"response-content-language response-content-type response-expires security-token sequential "
    b"startTime stat status style styleName symlink tagging transferAcceleration udf uploadId "
    b"uploads versionId versioning versions vod website worm x-oss-process x-oss-request-payer "
    b"x-oss-traffic-limit".split()
)


def key_id(request: Request) -> str | None:
    """Whose signature of version 1 a request carries; None if it carries none."""
    version, _, rest = request.headers.get("authorization", "").partition(" ")
    if version == "OSS":
        return rest.partition(":")[0].strip()
    given = request.parameter("OSSAccessKeyId")
    return None if given is None else given.decode("latin-1")


def verify(request: Request, account: Account, now: float) -> None:
    """Raise `Refusal` unless ``account`` signed ``request`` close enough to ``now`` (Unix s)."""
    if key_id(request) != account.access_key_id:
        message = "The OSS Access Key Id you provided does not exist in our records."
        raise Refusal(403, "InvalidAccessKeyId", message, "0002-00000902")
    if _token(request) != account.security_token:
        message = "The security token you provided is invalid."
        raise Refusal(403, "InvalidSecurityToken", message, "0002-00000904")
    date, given = _claim(request, now)
    text = string_to_sign(request, date)
    digest = hmac.digest(account.access_key_secret.encode(), text, "sha1")
    if not hmac.compare_digest(b64encode(digest), given):
        message = "The request signature we calculated does not match the signature you provided."
        details = {"StringToSign": text.decode("utf-8", "replace")}
        raise Refusal(403, "SignatureDoesNotMatch", message, "0002-00000001", details)


def string_to_sign(request: Request, date: str) -> bytes:
    """Return the text that is signed; ``date`` is a date or the second at which a URL expires."""
    headers = request.headers
    lines = [request.method, headers.get("content-md5", ""), headers.get("content-type", ""), date]
    lines += [f"{n}:{headers[n].strip()}" for n in sorted(headers) if n.startswith("x-oss-")]
    return "\n".join(lines).encode("latin-1") + b"\n" + _resource(request)


def _resource(request: Request) -> bytes:
    path = b"/%s/%s" % (request.bucket.encode(), request.key) if request.bucket else b"/"
    signed = sorted((n, v) for n, v in request.query if n in SUBRESOURCES)
    query = b"&".join(name + b"=" + value if value else name for name, value in signed)
    return path + (b"?" + query if query else b"")


def _token(request: Request) -> str:
    in_query = request.parameter("security-token")
    if in_query is not None:
        return in_query.decode("latin-1")
    return request.headers.get("x-oss-security-token", "")


def _claim(request: Request, now: float) -> tuple[str, bytes]:
    """Return what stands for the date in the signed text, and the signature given."""
    if (signature := request.parameter("Signature")) is not None:
        expires = (request.parameter("Expires") or b"").decode("latin-1")
        if not expires.isdecimal() or int(expires) < now:
            raise Refusal(403, "AccessDenied", "Request has expired.", "0002-00000069")
        return expires, signature
    date = request.headers.get("x-oss-date") or request.headers.get("date", "")
    try:
        signed_at = parsedate_to_datetime(date).timestamp()
    except ValueError:
        message = "OSS authentication requires a valid Date."
        raise Refusal(403, "AccessDenied", message, "0002-00000203") from None
    if abs(now - signed_at) > MAX_SKEW_S:
        message = "The difference between the request time and the current time is too large."
        raise Refusal(403, "RequestTimeTooSkewed", message, "0002-00000504")
    return date, request.headers["authorization"].rpartition(":")[2].strip().encode("latin-1")
