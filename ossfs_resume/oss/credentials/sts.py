"""Requests to the Security Token Service, in the RPC style of Alibaba Cloud.

Signature of that style (version 1.0, HMAC-SHA1 over all parameters of query and form):
https://www.alibabacloud.com/help/en/sdk/product-overview/rpc-mechanism
What is secret or long (the OIDC token, a policy) goes into the form, as the official SDKs have it:
addresses end up in the logs of proxies.

What servers and programs answer:
Four dialects: the metadata server and credentials URIs (flat, ``Code`` is ``Success``), STS
(``Credentials`` inside), programs in the manner of ossfs (``AccessKeyId``) and of the ``aliyun``
command line (``access_key_id``). No error repeats a word of the answer but the code and message of
a refusal of STS.
"""

import hmac
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ossfs_resume.errors import AccessDenied, BadAnswer, OriginError, ServerFailed, Throttled
from ossfs_resume.oss.credentials.recipes import OidcRole, Role
from ossfs_resume.oss.encoding import encode_query, percent_encode
from ossfs_resume.oss.models import Credentials
from ossfs_resume.oss.request import USER_AGENT, Request
from ossfs_resume.quantities import parse_digits

_NAMES = {
    "id": ("AccessKeyId", "access_key_id"),
    "secret": ("AccessKeySecret", "access_key_secret"),
    "token": ("SecurityToken", "sts_token", "security_token"),
    "expiration": ("Expiration", "expiration"),
}
_THROTTLING = re.compile(r"^Throttling")


@dataclass(frozen=True, slots=True)
class Issued:
    """A key, and for how many seconds from now it is good (None: until further notice)."""

    credentials: Credentials
    lifetime_s: float | None = None


def parse_issued(body: bytes, now: float, where: str) -> Issued:
    """The key in an answer of any dialect; ``now`` is the Unix time of the one who answered.

    Raises BadAnswer.
    """
    document = _document(body, where)
    inner = document.get("Credentials")
    if not isinstance(inner, dict):
        inner = document
    code = document.get("Code", "Success")
    if code != "Success":
        raise BadAnswer(f"{where} gave no key: {_word(code)}")
    fields = {name: _first(inner, spellings) for name, spellings in _NAMES.items()}
    if not fields["id"] or not fields["secret"]:
        raise BadAnswer(f"{where} gave an answer without a key")
    credentials = Credentials(fields["id"], fields["secret"], fields["token"])
    if credentials.flaw:
        raise BadAnswer(f"{where} gave no key: {credentials.flaw}")
    return Issued(credentials, _lifetime(fields["expiration"], now, where))


def refusal(status: int, body: bytes, where: str) -> OriginError:
    """What an answer that is not a success means."""
    try:
        document = _document(body, where)
    except BadAnswer:
        document = {}
    code = _word(document.get("Code", ""))
    # STS repeats what it signed, token included, behind this point.
    message = str(document.get("Message", "")).partition("string to sign")[0][:200]
    text = " ".join(f"{where}: HTTP {status} {code} {message}".split())
    request_id = _word(document.get("RequestId", ""))
    kind: type[OriginError] = AccessDenied
    if _THROTTLING.match(code) or status == 429:
        kind = Throttled
    elif status >= 500:
        kind = ServerFailed
    return kind(text, status=status, code=code, request_id=request_id)


def _document(body: bytes, where: str) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise BadAnswer(f"{where} gave an answer that is no JSON object") from None
    return document


def _first(values: Mapping[str, Any], names: tuple[str, ...]) -> str:
    found = (values[name] for name in names if values.get(name))
    return str(next(found, "")).strip()


def _lifetime(text: str, now: float, where: str) -> float | None:
    if not text:
        return None
    try:
        if text.isdigit():
            return parse_digits(text) - now
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now
    except (ValueError, OverflowError):
        raise BadAnswer(f"{where} gave an expiration that is no time") from None


def _word(value: object) -> str:
    return re.sub(r"[^\w.:-]", "", str(value))[:80]


_FORM = {
    "content-type": "application/x-www-form-urlencoded",
    "accept-encoding": "identity",
    "user-agent": USER_AGENT,
}


def assume_role(role: Role, credentials: Credentials, now: float, nonce: str) -> Request:
    """AssumeRole, signed at the Unix time ``now``; ``nonce`` must be new each time."""
    query = _common("AssumeRole", now) | {
        "AccessKeyId": credentials.access_key_id,
        "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0",
        "SignatureNonce": nonce,
    }
    if credentials.security_token:
        query["SecurityToken"] = credentials.security_token
    form = _role(role)
    query["Signature"] = signature(query | form, credentials.access_key_secret)
    return _request(query, form)


def assume_role_with_oidc(role: OidcRole, token: str, now: float) -> Request:
    """AssumeRoleWithOIDC: the token is the proof, nothing is signed."""
    form = _role(role.role) | {"OIDCProviderArn": role.provider_arn, "OIDCToken": token}
    return _request(_common("AssumeRoleWithOIDC", now), form)


def signature(parameters: Mapping[str, str], secret: str, method: str = "POST") -> str:
    """The signature over all parameters, those of the query and those of the form."""
    text = f"{method}&%2F&{percent_encode(encode_pairs(parameters))}"
    return b64encode(hmac.digest(f"{secret}&".encode(), text.encode(), "sha1")).decode("ascii")


def encode_pairs(parameters: Mapping[str, str]) -> str:
    """Sorted by name; unlike OSS, an empty value keeps its ``=``."""
    return "&".join(
        f"{percent_encode(name)}={percent_encode(value)}"
        for name, value in sorted(parameters.items())
    )


def _common(action: str, now: float) -> dict[str, str]:
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"Action": action, "Format": "JSON", "Version": "2015-04-01", "Timestamp": stamp}


def _role(role: Role) -> dict[str, str]:
    wanted = {
        "RoleArn": role.arn,
        "RoleSessionName": role.session_name,
        "DurationSeconds": str(role.duration_s),
        "Policy": role.policy,
        "ExternalId": role.external_id,
    }
    return {name: value for name, value in wanted.items() if value}


def _request(query: Mapping[str, str], form: Mapping[str, str]) -> Request:
    body = encode_query(form.items()).encode("ascii")
    return Request("POST", "/", "", tuple(query.items()), dict(_FORM), body)
