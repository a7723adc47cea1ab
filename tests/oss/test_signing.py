"""Signatures against the vectors of the official SDKs and of Alibaba's documentation."""

import hmac
from email.utils import formatdate, parsedate_to_datetime
from hashlib import sha256

import pytest

from ossfs_resume.oss import signing
from ossfs_resume.oss.models import Credentials
from ossfs_resume.oss.request import Request
from ossfs_resume.oss.signing import Scope

HANGZHOU = Scope("cn-hangzhou")
CLOUD_BOX = Scope("cb-123", "oss-cloudbox")
KEYS = Credentials("ak", "sk")
NOON = 1702743657  # 20231216T162057Z


def put(content_type: str = "text/plain") -> Request:
    """The request that the SDKs' own tests sign: odd query names, mixed-case headers."""
    query = (
        ("param1", "value1"),
        ("+param1", "value3"),
        ("|param1", "value4"),
        ("+param2", ""),
        ("|param2", ""),
        ("param2", ""),
    )
    headers = {"x-oss-head1": "value", "abc": "value", "zabc": "value", "xyz": "value"}
    headers["content-type"] = content_type
    return Request("PUT", "", "/bucket/1234+-/123/1.txt", query, headers)


def signature(signed: Request) -> str:
    return signed.headers["authorization"].rpartition("Signature=")[2]


def presigned(signed: Request) -> str:
    return dict(signed.query)["x-oss-signature"]


def test_canonical_query_is_sorted_by_encoded_name() -> None:
    signed = signing.sign_v4(put(), KEYS, HANGZHOU, NOON)
    canonical = signing.canonical_request(signed)
    assert canonical.split("\n")[2] == (
        "%2Bparam1=value3&%2Bparam2&%7Cparam1=value4&%7Cparam2&param1=value1&param2"
    )
    assert sha256(canonical.encode()).hexdigest() == (
        "f4613657f1b108998e8dbd10a1aa5da621dc2c6e02c9ddec0f163664848704c4"
    )


def test_authorization_header_has_the_form_of_the_sdks() -> None:
    assert signing.sign_v4(put(), KEYS, HANGZHOU, NOON).headers["authorization"] == (
        "OSS4-HMAC-SHA256 Credential=ak/20231216/cn-hangzhou/oss/aliyun_v4_request,"
        "Signature=e21d18daa82167720f9b1047ae7e7f1ce7cb77a31e8203a7d5f4624fa0284afe"
    )


def test_token_is_signed() -> None:
    keys = Credentials("ak", "sk", "token")
    assert signature(signing.sign_v4(put(), keys, HANGZHOU, 1702784856)) == (
        "b94a3f999cf85bcdc00d332fbd3734ba03e48382c36fa4d5af5df817395bd9ea"
    )


@pytest.mark.parametrize(
    "additional", [("ZAbc", "abc"), ("x-oss-no-exist", "ZAbc", "x-oss-head1", "abc")]
)
def test_additional_headers_are_signed_once_and_only_if_present(additional: tuple[str]) -> None:
    signed = signing.sign_v4(put(), KEYS, HANGZHOU, 1702747512, additional)
    assert signed.headers["authorization"].endswith(
        "AdditionalHeaders=abc;zabc,"
        "Signature=4a4183c187c07c8947db7620deb0a6b38d9fbdd34187b6dbaccb316fa251212f"
    )


def test_cloud_box_scope() -> None:
    assert signature(signing.sign_v4(put(), KEYS, CLOUD_BOX, NOON)) == (
        "94ce1f12c17d148ea681030275a94449d3357f5b5b21133996eec80af3e08a43"
    )


@pytest.mark.parametrize(
    ("token", "scope", "now", "additional", "expected"),
    [
        (
            "",
            HANGZHOU,
            1702781677,
            (),
            "a39966c61718be0d5b14e668088b3fa07601033f6518ac7b523100014269c0fe",
        ),
        (
            "token",
            HANGZHOU,
            1702785388,
            (),
            "3817ac9d206cd6dfc90f1c09c00be45005602e55898f26f5ddb06d7892e1f8b5",
        ),
        (
            "",
            HANGZHOU,
            1702783809,
            ("ZAbc", "abc"),
            "6bd984bfe531afb6db1f7550983a741b103a8c58e5e14f83ea474c2322dfa2b7",
        ),
        (
            "",
            CLOUD_BOX,
            1702781677,
            ("ZAbc", "abc"),
            "07284191b9b4978ac3520cd39ee2dea2747eda454089359371ff463a6c7ba20f",
        ),
    ],
)
def test_presigned_put(
    token: str, scope: Scope, now: int, additional: tuple[str, ...], expected: str
) -> None:
    keys = Credentials("ak", "sk", token)
    request = put("application/octet-stream")
    assert presigned(signing.presign_v4(request, keys, scope, now, 599, additional)) == expected


def test_signing_key_is_derived_step_by_step() -> None:
    """The chain of vector 1, each link of it, ends in our key."""
    chain = (
        ("20231216", "151acc75ab7203acc219c35ef7415d0c604d059c7140665fe78233ec8ae7f9ea"),
        ("cn-hangzhou", "cd7fb718a1d15d167938c1ea34698de973b43added106b102eba0973c9aad028"),
        ("oss", "fde9c360ae5165f5a84690330c8bc545e6bde502ba8ba4972db81e5a2ea80bec"),
        ("aliyun_v4_request", "b412a03b134ebddd720f5167b5de6db66620ebb3b01cff4d49e3ccb09f8de97f"),
    )
    key = b"aliyun_v4sk"
    for step, expected in chain:
        key = hmac.digest(key, step.encode(), "sha256")
        assert key.hex() == expected
    assert signing.signing_key("sk", "20231216", HANGZHOU) == key


LIST_QUERY = (
    ("list-type", "2"),
    ("delimiter", "/"),
    ("encoding-type", "url"),
    ("max-keys", "1000"),
    ("prefix", "a b/+&=中"),
)


@pytest.mark.parametrize(
    ("method", "resource", "query", "headers", "token", "expected"),
    [
        (
            "GET",
            "/bucket/",
            LIST_QUERY,
            {},
            "",
            "885dc97d3d366fdc79a27d7aa7deebf30631dc883c57852236d767d0a6a63252",
        ),
        (
            "HEAD",
            "/bucket/dir/文件 #1?%41~!'()*.txt",
            (),
            {},
            "",
            "c68f380c736a547e976e7fdcf9efba84f7586775fee86b6c7b8ef1c1a0a7a3ed",
        ),
        (
            "HEAD",
            "/bucket/a//b/../c",
            (("objectMeta", ""),),
            {},
            "",
            "928dad49e225f5511596893975356dd4e1384f4d812d6474b454dba91984e0ee",
        ),
        (
            "GET",
            "/bucket/a/b.bin",
            (("versionId", "CAEQ/+="),),
            {"x-oss-range-behavior": "standard", "range": "bytes=0-9", "if-match": '"E"'},
            "",
            "100fdf5d8ce3a5449891494d82776659b64e0af6ee328869352c1233468d1e2a",
        ),
        (
            "GET",
            "/",
            (),
            {},
            "",
            "2a7fe0c537ae2b2319d6a44def3d754c1f9ca397946234d46ba2ecdb8f8f0a96",
        ),
        (
            "GET",
            "/bucket/",
            LIST_QUERY,
            {},
            "tok/en+1==",
            "e5b690df5f033ce191b0de95fb1ab0e350354a5b14a11c78fb7e6b57cb765acf",
        ),
    ],
)
def test_requests_of_a_reader(
    method: str,
    resource: str,
    query: tuple[tuple[str, str], ...],
    headers: dict[str, str],
    token: str,
    expected: str,
) -> None:
    request = Request(method, "", resource, query, headers)
    signed = signing.sign_v4(request, Credentials("ak", "sk", token), HANGZHOU, NOON)
    assert signature(signed) == expected


def test_presigned_get_of_a_version() -> None:
    request = Request("GET", "", "/bucket/dir/a b+中.txt", (("versionId", "V1"),))
    assert presigned(signing.presign_v4(request, KEYS, HANGZHOU, NOON, 3600)) == (
        "5210e236d9630c68dab4268c039a14f07d7b76d3f310e9207355e45bfff4f17e"
    )


def test_example_of_the_documentation() -> None:
    """The documentation masks the secret but prints the signing key."""
    stamp = "20250411T064124Z"
    headers = {
        "content-type": "text/plain",
        "content-md5": "ICy5YqxZB1uWSwcVLSNLcA==",
        "content-length": "3",
        "content-disposition": "attachment",
        "x-oss-content-sha256": "UNSIGNED-PAYLOAD",
        "x-oss-date": stamp,
    }
    request = Request("PUT", "", "/examplebucket/exampleobject", (), headers)
    names = signing.additional_headers(request, ["content-disposition", "content-length"])
    digest = sha256(signing.canonical_request(request, names).encode()).hexdigest()
    assert digest == "c46d96390bdbc2d739ac9363293ae9d710b14e48081fcb22cd8ad54b63136eca"
    key = bytes.fromhex("3543b7686e65eda71e5e5ca19d548d78423c37e8ddba4dc9d83f90228b457c76")
    text = "\n".join(("OSS4-HMAC-SHA256", stamp, HANGZHOU.on("20250411"), digest))
    assert hmac.digest(key, text.encode(), "sha256").hex() == (
        "053edbf550ebd239b32a9cdfd93b0b2b3f2d223083aa61f75e9ac16856d61f23"
    )


DATE = "Wed, 28 Dec 2022 10:27:41 GMT"
DATE_S = parsedate_to_datetime(DATE).timestamp()


@pytest.mark.parametrize(
    ("method", "resource", "query", "headers", "token", "expected"),
    [
        (
            "PUT",
            "/examplebucket/nelson",
            (),
            {
                "content-md5": "eB5eJF1ptWaXm4bijSPyxw==",
                "content-type": "text/html",
                "x-oss-date": DATE,
                "x-oss-meta-author": "alice",
                "x-oss-meta-magic": "abracadabra",
            },
            "",
            "kSHKmLxlyEAKtZPkJhG9bZb5k7M=",
        ),
        (
            "GET",
            "/examplebucket/",
            (("resourceGroup", ""), ("non-resousce", "null")),
            {"x-oss-date": DATE},
            "",
            "vkQmfuUDyi1uDi3bKt67oemssIs=",
        ),
        ("GET", "/bucket/a b/中.bin", (), {}, "tok", "YEOTDg1ZXDGPGBZ/jA66BikyTtM="),
        (
            "GET",
            "/bucket/",
            (("list-type", "2"), ("continuation-token", "CgJiYw--"), ("prefix", "a")),
            {},
            "",
            "NPfkhek0yRYyow1KWvQjWrixy3A=",
        ),
    ],
)
def test_version_1_header(
    method: str,
    resource: str,
    query: tuple[tuple[str, str], ...],
    headers: dict[str, str],
    token: str,
    expected: str,
) -> None:
    request = Request(method, "", resource, query, headers)
    signed = signing.sign_v1(request, Credentials("ak", "sk", token), DATE_S)
    assert signed.headers["authorization"] == f"OSS ak:{expected}"


def test_version_1_dates_the_request_itself() -> None:
    signed = signing.sign_v1(Request("GET", "/", "/bucket/"), KEYS, DATE_S)
    assert signed.headers["date"] == DATE == formatdate(DATE_S, usegmt=True)


def test_version_1_url() -> None:
    request = Request("GET", "", "/bucket/key", (("versionId", "versionId"),))
    signed = signing.presign_v1(request, KEYS, 1699807420)
    assert dict(signed.query)["Signature"] == "dcLTea+Yh9ApirQ8o8dOPqtvJXQ="


def test_a_signed_request_shows_no_secret() -> None:
    keys = Credentials("ak", "hidden-secret", "hidden-token")
    shown = repr(signing.sign_v4(put(), keys, HANGZHOU, NOON)) + repr(keys)
    assert "hidden" not in shown
