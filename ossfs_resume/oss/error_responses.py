"""What an error answer means: OSS's code to one of our exceptions and to a remedy.

OSS sends XML with a code, a message and identifiers; for HEAD the same XML in base64 in the header
``x-oss-err``. Gateways between us and OSS send JSON, HTML or nothing, and then the status decides.
Codes: https://www.alibabacloud.com/help/en/oss/support/http-status-code-and-error-code
"""

import json
import re
from base64 import b64decode
from collections.abc import Mapping
from typing import NamedTuple
from xml.etree import ElementTree

from ossfs_resume import errors
from ossfs_resume.errors import OriginError
from ossfs_resume.oss.encoding import may_declare
from ossfs_resume.oss.proxy import WANTS_A_USER

EXPIRED_TOKEN_CODES = frozenset(
    (
        "InvalidSecurityToken",
        "SecurityTokenExpired",
        "AccessKeyIdAndSecurityTokenNotMatch",
        "InvalidAccessKeyId",
    )
)
"""The credentials were temporary or have been rotated, and are over; fresh ones may succeed."""

_SHOWN_BYTES = 256
_THROTTLING = re.compile(r"QpsLimitExceeded|RateLimitExceeded|RequestLimitExceeded|SlowDown")
_UNSIGNED = re.compile("signature|authentication|has expired", re.IGNORECASE)
_OTHER_ENDPOINT = re.compile("must be addressed using the specified endpoint", re.IGNORECASE)


class Meaning(NamedTuple):
    """The exception that a code stands for, and what its reader should do; in it ``{key_source}``
    stands for where the key came from."""

    error: type[OriginError]
    remedy: str = ""


_ADDRESSING = "give the bucket's own endpoint with --endpoint, or --addressing virtual or cname"
_REPLACED = "the object was replaced in the bucket: open it again"
_ACCOUNT = "see the account and billing pages of the Alibaba Cloud console"
_TOKEN = (
    "the temporary key from {key_source} has expired: supply a new one; "
    "a token in the environment cannot be renewed by a running process"
)
_SIGNATURE = "try another --signature: v4, or v1 for old private clouds"
_ENDPOINT = "use the bucket's own region: correct --endpoint or --region"

MEANING_OF_CODE: Mapping[str, Meaning] = {
    "NoSuchKey": Meaning(errors.NotFound),
    "NoSuchVersion": Meaning(errors.NotFound),
    "SymlinkTargetNotExist": Meaning(errors.NotFound),
    "MethodNotAllowed": Meaning(errors.NotFound, "the version is a delete marker"),
    "NoSuchBucket": Meaning(errors.NoSuchBucket, "check the bucket's name, --region, --endpoint"),
    "PreconditionFailed": Meaning(errors.ObjectChanged, _REPLACED),
    "InvalidRange": Meaning(errors.ObjectChanged, _REPLACED),
    "InvalidObjectState": Meaning(
        errors.NotReadable, "the object is archived: restore it, then read it again"
    ),
    "InvalidAccessKeyId": Meaning(
        errors.AccessDenied, "the key from {key_source} is unknown or disabled"
    ),
    "SignatureDoesNotMatch": Meaning(
        errors.AccessDenied,
        "check the secret of the key from {key_source}, and that --region is the bucket's",
    ),
    "InvalidSecurityToken": Meaning(errors.AccessDenied, _TOKEN),
    "SecurityTokenExpired": Meaning(errors.AccessDenied, _TOKEN),
    "AccessKeyIdAndSecurityTokenNotMatch": Meaning(errors.AccessDenied, _TOKEN),
    "PublicEndpointForbidden": Meaning(
        errors.AccessDenied,
        "accounts opened since 2025-03-20 cannot use the public endpoint in mainland China: bind a "
        "custom domain and use --addressing cname, or use the -internal endpoint inside the region",
    ),
    "SecondLevelDomainForbidden": Meaning(errors.AccessDenied, _ADDRESSING),
    "NonStandardHostForbidden": Meaning(errors.AccessDenied, _ADDRESSING),
    "TransferAccelerationDisabled": Meaning(
        errors.AccessDenied, "turn transfer acceleration on for the bucket or use another endpoint"
    ),
    "AbnormalBucketOwnerStatus": Meaning(errors.AccessDenied, _ACCOUNT),
    "UserDisable": Meaning(errors.AccessDenied, _ACCOUNT),
    "AccessDenied": Meaning(
        errors.NotPermitted, "the policy, bucket policy or ACL of this key must allow it"
    ),
    "RequestTimeTooSkewed": Meaning(errors.ClockSkewed, "set this machine's clock"),
    "RequestTimeout": Meaning(errors.OriginTimeout),
    # The SDKs retry this one: a connection that broke while the request was on its way.
    "BadRequest": Meaning(errors.ServerFailed),
    "InternalError": Meaning(errors.ServerFailed),
    "ServiceUnavailable": Meaning(errors.Throttled),
}

_MEANING_OF_STATUS: Mapping[int, Meaning] = {
    401: Meaning(errors.AccessDenied),
    403: Meaning(errors.AccessDenied),
    404: Meaning(errors.NotFound),
    407: Meaning(errors.AccessDenied, WANTS_A_USER),
    408: Meaning(errors.OriginTimeout),
    412: Meaning(errors.ObjectChanged),
    416: Meaning(errors.ObjectChanged),
    429: Meaning(errors.Throttled),
    503: Meaning(errors.Throttled),
}


def error_from(
    status: int, headers: Mapping[str, str], body: bytes = b"", key_source: str = "the caller"
) -> OriginError:
    """The exception for an answer that is not a success; names in ``headers`` are lower-case.

    ``key_source`` is where the key came from that the request was signed with.
    Its text is one line: what OSS says, its code and identifiers, and the remedy if one is known.
    """
    fields = _fields(headers, body)
    code = fields.get("Code", "")
    request_id = fields.get("RequestId") or headers.get("x-oss-request-id", "")
    ec = fields.get("EC") or headers.get("x-oss-ec", "")
    meaning = _meaning(status, headers, fields, request_id)
    said = fields.get("Message", "") if code else _excerpt(body, headers)
    ids = [f"HTTP {status}", f"EC {ec}" if ec else "", f"request id {request_id or 'none'}"]
    remedy = meaning.remedy.replace("{key_source}", key_source)
    text = f"{code or 'no OSS error code'}: {said or 'no reason given'}"
    text += f" ({', '.join(filter(None, ids))})" + (f"; {remedy}" if remedy else "")
    return meaning.error(_one_line(text), status=status, code=code, request_id=request_id, ec=ec)


def _meaning(
    status: int, headers: Mapping[str, str], fields: Mapping[str, str], request_id: str
) -> Meaning:
    code, message = fields.get("Code", ""), fields.get("Message", "")
    if _THROTTLING.search(code):
        return Meaning(errors.Throttled)
    if code == "PermanentRedirect" or _OTHER_ENDPOINT.search(message):
        named = fields.get("Endpoint", "")
        return Meaning(errors.AccessDenied, f"use --endpoint {named}" if named else _ENDPOINT)
    if code == "InvalidArgument" and "region" in message.lower():
        return Meaning(errors.AccessDenied, _ENDPOINT)
    if code == "AccessDenied" and _UNSIGNED.search(message):
        return Meaning(errors.AccessDenied, _SIGNATURE)  # the key was not even looked at
    if "forbidden by kms" in message.lower():
        return Meaning(errors.AccessDenied, "the object is encrypted with a KMS key: allow its use")
    if "requester pays" in message.lower():
        return Meaning(errors.AccessDenied, "add --request-payer to pay for the requests yourself")
    if code in MEANING_OF_CODE:
        return MEANING_OF_CODE[code]
    kind = headers.get("content-type", "")
    if status == 404 and not request_id and kind and "xml" not in kind:
        # A portal or gateway speaks, not OSS: it does not know whether the object exists.
        return Meaning(errors.BadAnswer, "something between this machine and OSS answered")
    return _meaning_of_status(status)


def _meaning_of_status(status: int) -> Meaning:
    if status in _MEANING_OF_STATUS:
        return _MEANING_OF_STATUS[status]
    if status >= 500:
        return Meaning(errors.ServerFailed)
    return Meaning(errors.BadRequest if status >= 400 else errors.BadAnswer)


def _fields(headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    """The children of the error document by name; empty if there is none."""
    if not body and "x-oss-err" in headers:
        body = _from_base64(headers["x-oss-err"])
    text = body.lstrip()
    return _json_fields(text) if text.startswith(b"{") else _xml_fields(text)


def _xml_fields(body: bytes) -> dict[str, str]:
    if may_declare(body):
        return {}
    try:
        root = ElementTree.fromstring(body)
    except (ElementTree.ParseError, ValueError, LookupError):  # the last two: odd encodings
        return {}
    if root.tag.rpartition("}")[2] != "Error":
        return {}
    return {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in root}


def _json_fields(body: bytes) -> dict[str, str]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    inner = document.get("Error", document)
    return {k: v for k, v in inner.items() if isinstance(v, str)} if isinstance(inner, dict) else {}


def _from_base64(text: str) -> bytes:
    try:
        return b64decode(text)
    except ValueError:
        return b""


def _excerpt(body: bytes, headers: Mapping[str, str]) -> str:
    if location := headers.get("location"):
        return f"redirects to {location}"
    return body[:_SHOWN_BYTES].decode("utf-8", "replace")


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
