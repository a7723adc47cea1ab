"""Requests of ours, signed once more by the signers of the official SDKs."""

from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from ossfs_resume.oss import request, signing
from ossfs_resume.oss.endpoint import Endpoint, parse_endpoint
from ossfs_resume.oss.models import Credentials, ObjectMeta
from ossfs_resume.oss.request import Request

pytestmark = pytest.mark.peers

oss_v2 = pytest.importorskip("alibabacloud_oss_v2")
oss2 = pytest.importorskip("oss2")

NOW = 1702743657
KEYS = [Credentials("ak", "sk"), Credentials("ak", "sk", "tok/en+1==")]
ODD = [
    "a",
    "dir/文件 #1?%41~!'()*.txt",
    "a//b/../c",
    "..",
    "a+b=c&d;e",
    "tab\tline\n",
    "\U0001f600",
]
ENDPOINTS = [
    parse_endpoint("bucket", "oss-cn-hangzhou.aliyuncs.com"),
    parse_endpoint("bucket", "http://127.0.0.1:9000", "cn-hangzhou"),
    parse_endpoint("bucket", "data.example.com", "cn-hangzhou", "cname"),
]


def requests(endpoint: Endpoint, odd: str) -> list[tuple[Request, str | None]]:
    """A listing, a HEAD and a ranged GET, each with its key."""
    listing = request.list_request(endpoint, odd, token=odd, delimiter="/", max_keys=1000)
    head = request.head_request(endpoint, odd)
    ranged = request.range_request(endpoint, ObjectMeta(odd, 100, "E", 0), 10, 20)
    return [(listing, None), (head, odd), (ranged, odd)]


def signature_of_v2(
    wanted: Request, endpoint: Endpoint, key: str | None, keys: Credentials
) -> dict[str, str]:
    from alibabacloud_oss_v2.signer import SignerV4
    from alibabacloud_oss_v2.types import Credentials as Keys
    from alibabacloud_oss_v2.types import HttpRequest, SigningContext

    http = HttpRequest(wanted.method, endpoint.base_url + wanted.target, dict(wanted.headers))
    context = SigningContext(
        product="oss",
        region="cn-hangzhou",
        bucket="bucket",
        key=key,
        request=http,
        credentials=Keys(keys.access_key_id, keys.access_key_secret, keys.security_token),
        signing_time=datetime.fromtimestamp(NOW, UTC),
    )
    SignerV4().sign(context)
    return {name.lower(): value for name, value in http.headers.items()}


@pytest.mark.parametrize("keys", KEYS)
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_alibabacloud_oss_v2_signs_alike(endpoint: Endpoint, odd: str, keys: Credentials) -> None:
    for wanted, key in requests(endpoint, odd):
        ours = signing.sign_v4(wanted, keys, signing.Scope("cn-hangzhou"), NOW).headers
        theirs = signature_of_v2(wanted, endpoint, key, keys)
        assert {name: theirs[name] for name in ours} == ours


@pytest.mark.parametrize("keys", KEYS)
@pytest.mark.parametrize("odd", ODD)
def test_oss2_signs_alike(odd: str, keys: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    import oss2.auth

    class Frozen(datetime):
        @classmethod
        def utcnow(cls) -> datetime:
            return datetime.fromtimestamp(NOW, UTC)

    monkeypatch.setattr(oss2.auth, "datetime", Frozen)
    token = keys.security_token or None
    provider = oss2.credentials.StaticCredentialsProvider("ak", "sk", token)
    for wanted, key in requests(ENDPOINTS[0], odd):
        ours = signing.sign_v4(wanted, keys, signing.Scope("cn-hangzhou"), NOW).headers
        http = oss2.http.Request(
            wanted.method,
            ENDPOINTS[0].base_url + urlsplit(wanted.target).path,
            params=dict(wanted.query),
            headers=dict(wanted.headers),
            region="cn-hangzhou",
            product="oss",
        )
        oss2.auth.ProviderAuthV4(provider)._sign_request(http, "bucket", key or "")
        assert signature(http.headers["authorization"]) == signature(ours["authorization"])


def signature(authorization: str) -> str:
    return authorization.rpartition("Signature=")[2]
