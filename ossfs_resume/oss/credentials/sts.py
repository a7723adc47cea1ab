"""Requests to the Security Token Service, in the RPC style of Alibaba Cloud.

Signature of that style (version 1.0, HMAC-SHA1 over all parameters of query and form):
https://www.alibabacloud.com/help/en/sdk/product-overview/rpc-mechanism
What is secret or long (the OIDC token, a policy) goes into the form, as the official SDKs have it:
addresses end up in the logs of proxies.
"""

import hmac
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime

from ossfs_resume.oss.credentials.recipes import OidcRole, Role
from ossfs_resume.oss.encoding import encode_query, percent_encode
from ossfs_resume.oss.models import Credentials
from ossfs_resume.oss.request import USER_AGENT, Request

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
