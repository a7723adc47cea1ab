"""Verification of V4 signatures, in the Authorization header or in the query.

Written from OSS's description (Signature Version 4, "Include a V4 signature in a header / URL")
and not from the client's signer. The order is that of the service: form, credential, time, then
the signature itself, whose refusal shows what the service signed.
"""

import hashlib
import hmac
import re
from calendar import timegm
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import gmtime, strftime, strptime
from urllib.parse import quote_from_bytes

from ossfs_resume.emulator.refusal import Refusal, invalid_argument
from ossfs_resume.emulator.request import Request

ALGORITHM = "OSS4-HMAC-SHA256"
PAYLOAD = "UNSIGNED-PAYLOAD"
MAX_SKEW_S = 900
MAX_EXPIRES_S = 604_800
_TERMINATOR = "aliyun_v4_request"
_SIGNED_BY_DEFAULT = ("content-type", "content-md5")
_CREDENTIAL = re.compile(r"([^/]+)/(\d{8})/([^/]+)/([^/]+)/" + _TERMINATOR)
_FIELDS = frozenset({"Credential", "AdditionalHeaders", "Signature"})


@dataclass(frozen=True, slots=True)
class Account:
    """Whose signatures are accepted, and where; ``anonymous`` admits unsigned requests as well."""

    access_key_id: str
    access_key_secret: str = field(repr=False)
    region: str
    product: str = "oss"
    security_token: str = field(default="", repr=False)
    anonymous: bool = False
    allows_v1: bool = False
    expires_at: float | None = None
    """Unix seconds; None: never."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a request says of its own signature."""

    credential: str
    additional: tuple[str, ...]
    signature: str
    date: str
    token: str
    expires_s: int | None
    """Lifetime of a presigned URL; None for a signature in the header."""


def key_id(request: Request) -> str:
    """Whose signature of version 4 a request carries; empty if it carries none."""
    claimed = re.search(r"Credential=([^/,]+)/", request.headers.get("authorization", ""))
    if claimed is not None:
        return claimed[1]
    return (request.parameter("x-oss-credential") or b"").partition(b"/")[0].decode("latin-1")


def verify(request: Request, account: Account, now: float) -> None:
    """Raise `Refusal` unless ``account`` signed ``request`` close enough to ``now`` (Unix s)."""
    claim = _read_claim(request)
    if claim is None:
        if not account.anonymous:
            raise _denied("Anonymous access is forbidden for this bucket.", "0003-00000001")
        return
    key_id, day, scope = _check_credential(claim, account)
    if key_id != account.access_key_id:
        message = "The OSS Access Key Id you provided does not exist in our records."
        details = {"OSSAccessKeyId": key_id}
        raise Refusal(403, "InvalidAccessKeyId", message, "0002-00000902", details)
    if claim.token != account.security_token:
        message = "The security token you provided is invalid."
        raise Refusal(403, "InvalidSecurityToken", message, "0002-00000904")
    _check_time(claim, day, now)
    canonical = canonical_request(request, claim.additional)
    string_to_sign = "\n".join(
        (ALGORITHM, claim.date, scope, hashlib.sha256(canonical).hexdigest())
    )
    expected = _sign(account, day, string_to_sign)
    if not hmac.compare_digest(expected.encode(), claim.signature.encode("latin-1", "replace")):
        raise _mismatch(claim, key_id, string_to_sign, canonical)


def canonical_request(request: Request, additional: Iterable[str]) -> bytes:
    """Return the six lines that are hashed; ``additional`` are the extra header names signed."""
    bucket = f"/{request.bucket}/".encode() if request.bucket else b"/"
    names = sorted({name.lower() for name in additional})
    lines = (
        request.method,
        quote_from_bytes(bucket + request.key, safe="/"),
        _canonical_query(request.query),
        _canonical_headers(request.headers, names),
        ";".join(names),
        PAYLOAD,
    )
    return "\n".join(lines).encode("latin-1")


def _canonical_query(query: Iterable[tuple[bytes, bytes]]) -> str:
    pairs = sorted(
        (quote_from_bytes(name, safe=""), quote_from_bytes(value, safe=""))
        for name, value in query
        if name != b"x-oss-signature"
    )
    return "&".join(f"{name}={value}" if value else name for name, value in pairs)


def _canonical_headers(headers: Mapping[str, str], additional: Iterable[str]) -> str:
    chosen = {*_SIGNED_BY_DEFAULT, *additional}
    signed = sorted(name for name in headers if name.startswith("x-oss-") or name in chosen)
    return "".join(f"{name}:{headers[name].strip()}\n" for name in signed)


def _read_claim(request: Request) -> _Claim | None:
    authorization = request.headers.get("authorization")
    if authorization is not None:
        return _claim_from_header(request, authorization)
    if request.parameter("x-oss-signature-version") is not None:
        return _claim_from_query(request)
    if request.parameter("Signature") is not None:
        raise _denied("Only signatures of version 4 are accepted.", "")
    return None


def _claim_from_header(request: Request, authorization: str) -> _Claim:
    version, _, rest = authorization.partition(" ")
    if version != ALGORITHM:
        raise _denied("Only signatures of version 4 are accepted.", "")
    pieces = [piece.strip().partition("=") for piece in rest.split(",")]
    given = {name: value for name, _, value in pieces}
    if not given.keys() <= _FIELDS or not {"Credential", "Signature"} <= given.keys():
        raise invalid_argument(
            "Invalid Authorization header.", "Authorization", authorization, "0002-00000202"
        )
    payload = request.headers.get("x-oss-content-sha256", "")
    if payload != PAYLOAD:
        message = "The header x-oss-content-sha256 must be UNSIGNED-PAYLOAD."
        raise invalid_argument(message, "x-oss-content-sha256", payload)
    return _Claim(
        credential=given["Credential"],
        additional=_names(given.get("AdditionalHeaders", "")),
        signature=given["Signature"],
        date=request.headers.get("x-oss-date", ""),
        token=request.headers.get("x-oss-security-token", ""),
        expires_s=None,
    )


def _claim_from_query(request: Request) -> _Claim:
    def text(name: str) -> str:
        return (request.parameter(f"x-oss-{name}") or b"").decode("latin-1")

    if text("signature-version") != ALGORITHM:
        raise _denied("Only signatures of version 4 are accepted.", "")
    expires = text("expires")
    if not expires.isdecimal() or not 0 < int(expires) <= MAX_EXPIRES_S:
        message = "x-oss-expires must be between 1 and 604800 seconds."
        raise invalid_argument(message, "x-oss-expires", expires)
    return _Claim(
        credential=text("credential"),
        additional=_names(text("additional-headers")),
        signature=text("signature"),
        date=text("date"),
        token=text("security-token"),
        expires_s=int(expires),
    )


def _check_credential(claim: _Claim, account: Account) -> tuple[str, str, str]:
    """Return access key id, day and scope of a credential that fits this endpoint.

    OSS answers 400 InvalidArgument for a wrong region (EC 0002-00000226) or product (-227).
    """
    match = _CREDENTIAL.fullmatch(claim.credential)
    if match is None:
        message = "Invalid credential in Authorization header."
        raise invalid_argument(message, "Credential", claim.credential, "0002-00000213")
    key_id, day, region, product = match.groups()
    if region != account.region:
        message = "Invalid signing region in Authorization header."
        raise invalid_argument(message, "Region", region, "0002-00000226")
    if product != account.product:
        message = "Invalid signing product in Authorization header."
        raise invalid_argument(message, "Product", product, "0002-00000227")
    return key_id, day, f"{day}/{region}/{product}/{_TERMINATOR}"


def _check_time(claim: _Claim, day: str, now: float) -> None:
    try:
        signed_at = timegm(strptime(claim.date, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        message = "OSS authentication requires a valid x-oss-date."
        raise _denied(message, "0002-00000203") from None
    if claim.date[:8] != day:
        message = "Invalid signing date in Authorization header."
        raise invalid_argument(message, "Date", day, "0002-00000212")
    if claim.expires_s is not None and now > signed_at + claim.expires_s:
        raise _denied("Request has expired.", "0002-00000069")
    is_late = claim.expires_s is None and now - signed_at > MAX_SKEW_S
    if is_late or signed_at - now > MAX_SKEW_S:
        details = {
            "MaxAllowedSkewMilliseconds": str(MAX_SKEW_S * 1000),
            "RequestTime": _iso(signed_at),
            "ServerTime": _iso(now),
        }
        message = "The difference between the request time and the current time is too large."
        raise Refusal(403, "RequestTimeTooSkewed", message, "0002-00000504", details)


def _sign(account: Account, day: str, string_to_sign: str) -> str:
    key = ("aliyun_v4" + account.access_key_secret).encode()
    for step in (day, account.region, account.product, _TERMINATOR):
        key = hmac.digest(key, step.encode(), "sha256")
    return hmac.digest(key, string_to_sign.encode("latin-1"), "sha256").hex()


def _mismatch(claim: _Claim, key_id: str, string_to_sign: str, canonical: bytes) -> Refusal:
    message = (
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method."
    )
    details = {
        "OSSAccessKeyId": key_id,
        "SignatureProvided": claim.signature,
        "StringToSign": string_to_sign,
        "CanonicalRequest": canonical.decode("latin-1"),
        "StringToSignBytes": string_to_sign.encode("latin-1").hex(" ").upper(),
    }
    return Refusal(403, "SignatureDoesNotMatch", message, "0002-00000201", details)


def _denied(message: str, ec: str) -> Refusal:
    return Refusal(403, "AccessDenied", message, ec)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(";") if name.strip())


def _iso(time: float) -> str:
    return strftime("%Y-%m-%dT%H:%M:%S.000Z", gmtime(time))
