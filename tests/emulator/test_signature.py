"""V4 verification: published vectors for the pure part, then accept and refuse on the wire.

On the wire the requests are signed by the official SDK, not by this package.
"""

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

import pytest
from alibabacloud_oss_v2.credentials import Credentials
from alibabacloud_oss_v2.signer import SignerV4
from alibabacloud_oss_v2.types import HttpRequest, SigningContext

from ossfs_resume.emulator.refusal import Refusal
from ossfs_resume.emulator.request import Request, parse
from ossfs_resume.emulator.signature import Account, canonical_request, verify
from support.emulator import Answer, EmulatorProcess

QUERY_A = b"param1=value1&%2Bparam1=value3&%7Cparam1=value4&%2Bparam2&%7Cparam2&param2"
HEADERS_A = {
    "x-oss-head1": "value",
    "abc": "value",
    "ZAbc": "value",
    "XYZ": "value",
    "content-type": "text/plain",
}
PATH_A = b"/bucket/1234%2B-/123/1.txt"
LIST = (
    b"delimiter=%2F&encoding-type=url&list-type=2&max-keys=1000&prefix=a%20b%2F%2B%26%3D%E4%B8%AD"
)
ACCOUNT = Account("ak", "sk", "cn-hangzhou")
CLOUD_BOX = replace(ACCOUNT, region="cb-123", product="oss-cloudbox")
WITH_TOKEN = replace(ACCOUNT, security_token="token")

# method, path, query, extra headers, account, additional headers, time, signature
HEADER_VECTORS = [
    (
        "PUT",
        PATH_A,
        QUERY_A,
        HEADERS_A,
        ACCOUNT,
        "",
        1702743657,
        "e21d18daa82167720f9b1047ae7e7f1ce7cb77a31e8203a7d5f4624fa0284afe",
    ),
    (
        "PUT",
        PATH_A,
        QUERY_A,
        HEADERS_A,
        WITH_TOKEN,
        "",
        1702784856,
        "b94a3f999cf85bcdc00d332fbd3734ba03e48382c36fa4d5af5df817395bd9ea",
    ),
    (
        "PUT",
        PATH_A,
        QUERY_A,
        HEADERS_A,
        ACCOUNT,
        "abc;zabc",
        1702747512,
        "4a4183c187c07c8947db7620deb0a6b38d9fbdd34187b6dbaccb316fa251212f",
    ),
    (
        "PUT",
        PATH_A,
        QUERY_A,
        HEADERS_A,
        CLOUD_BOX,
        "",
        1702743657,
        "94ce1f12c17d148ea681030275a94449d3357f5b5b21133996eec80af3e08a43",
    ),
    (
        "GET",
        b"/bucket/",
        LIST,
        {},
        ACCOUNT,
        "",
        1702743657,
        "885dc97d3d366fdc79a27d7aa7deebf30631dc883c57852236d767d0a6a63252",
    ),
    (
        "GET",
        b"/bucket/",
        LIST,
        {},
        replace(ACCOUNT, security_token="tok/en+1=="),
        "",
        1702743657,
        "e5b690df5f033ce191b0de95fb1ab0e350354a5b14a11c78fb7e6b57cb765acf",
    ),
    (
        "HEAD",
        "/bucket/" + quote("dir/文件 #1?%41~!'()*.txt"),
        b"",
        {},
        ACCOUNT,
        "",
        1702743657,
        "c68f380c736a547e976e7fdcf9efba84f7586775fee86b6c7b8ef1c1a0a7a3ed",
    ),
    (
        "HEAD",
        b"/bucket/a%2F%2Fb/../c",
        b"objectMeta",
        {},
        ACCOUNT,
        "",
        1702743657,
        "928dad49e225f5511596893975356dd4e1384f4d812d6474b454dba91984e0ee",
    ),
    (
        "GET",
        b"/bucket/a/b.bin",
        b"versionId=CAEQ%2F%2B%3D",
        {"x-oss-range-behavior": "standard", "Range": "bytes=0-1", "If-Match": "x"},
        ACCOUNT,
        "",
        1702743657,
        "100fdf5d8ce3a5449891494d82776659b64e0af6ee328869352c1233468d1e2a",
    ),
    (
        "GET",
        b"/",
        b"",
        {},
        ACCOUNT,
        "",
        1702743657,
        "2a7fe0c537ae2b2319d6a44def3d754c1f9ca397946234d46ba2ecdb8f8f0a96",
    ),
]
OCTETS = HEADERS_A | {"content-type": "application/octet-stream"}
QUERY_VECTORS = [
    (
        "PUT",
        PATH_A,
        QUERY_A,
        OCTETS,
        ACCOUNT,
        "",
        1702781677,
        599,
        "a39966c61718be0d5b14e668088b3fa07601033f6518ac7b523100014269c0fe",
    ),
    (
        "PUT",
        PATH_A,
        QUERY_A,
        OCTETS,
        WITH_TOKEN,
        "",
        1702785388,
        599,
        "3817ac9d206cd6dfc90f1c09c00be45005602e55898f26f5ddb06d7892e1f8b5",
    ),
    (
        "PUT",
        PATH_A,
        QUERY_A,
        OCTETS,
        ACCOUNT,
        "abc;zabc",
        1702783809,
        599,
        "6bd984bfe531afb6db1f7550983a741b103a8c58e5e14f83ea474c2322dfa2b7",
    ),
    (
        "PUT",
        PATH_A,
        QUERY_A,
        OCTETS,
        CLOUD_BOX,
        "abc;zabc",
        1702781677,
        599,
        "07284191b9b4978ac3520cd39ee2dea2747eda454089359371ff463a6c7ba20f",
    ),
    (
        "GET",
        "/bucket/" + quote("dir/a b+中.txt"),
        b"versionId=V1",
        {},
        ACCOUNT,
        "",
        1702743657,
        3600,
        "5210e236d9630c68dab4268c039a14f07d7b76d3f310e9207355e45bfff4f17e",
    ),
]


def iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y%m%dT%H%M%SZ")


def as_request(method: str, path: str | bytes, query: bytes, headers: dict[str, str]) -> Request:
    raw_path = path.encode() if isinstance(path, str) else path
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    return parse(method, raw_path, query, pairs, "bucket")


def scope_of(account: Account, time: float) -> str:
    return f"{iso(time)[:8]}/{account.region}/{account.product}/aliyun_v4_request"


def header_request(vector: tuple) -> Request:
    method, path, query, headers, account, additional, time, signature = vector
    fields = headers | {"x-oss-content-sha256": "UNSIGNED-PAYLOAD", "x-oss-date": iso(time)}
    if account.security_token:
        fields["x-oss-security-token"] = account.security_token
    extra = f", AdditionalHeaders={additional}" if additional else ""
    fields["Authorization"] = (
        f"OSS4-HMAC-SHA256 Credential=ak/{scope_of(account, time)}, Signature={signature}{extra}"
    )
    return as_request(method, path, query, fields)


def query_request(vector: tuple) -> Request:
    method, path, query, headers, account, additional, time, expires, signature = vector
    fields = {
        "x-oss-signature-version": "OSS4-HMAC-SHA256",
        "x-oss-credential": f"ak/{scope_of(account, time)}",
        "x-oss-date": iso(time),
        "x-oss-expires": str(expires),
        "x-oss-signature": signature,
    }
    if additional:
        fields["x-oss-additional-headers"] = additional
    if account.security_token:
        fields["x-oss-security-token"] = account.security_token
    pieces = [f"{name}={quote(value, safe='')}" for name, value in fields.items()]
    return as_request(method, path, b"&".join([query, *map(str.encode, pieces)]), headers)


@pytest.mark.parametrize("vector", HEADER_VECTORS)
def test_a_header_vector(vector: tuple) -> None:
    """The published signature is accepted at its time, and with one digit changed refused."""
    account, time, signature = vector[4], vector[6], vector[7]
    verify(header_request(vector), account, time)
    forged = (*vector[:7], signature[:-1] + ("0" if signature[-1] != "0" else "1"))
    with pytest.raises(Refusal) as caught:
        verify(header_request(forged), account, time)
    assert caught.value.code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("vector", QUERY_VECTORS)
def test_a_query_vector(vector: tuple) -> None:
    """A presigned URL is accepted until it expires, not a second longer."""
    account, time, expires = vector[4], vector[6], vector[7]
    verify(query_request(vector), account, time)
    verify(query_request(vector), account, time + expires)
    with pytest.raises(Refusal) as caught:
        verify(query_request(vector), account, time + expires + 1)
    assert caught.value.code == "AccessDenied"


def test_the_canonical_request_of_a_vector() -> None:
    """The hash of the first vector's canonical request is the published one."""
    canonical = canonical_request(header_request(HEADER_VECTORS[0]), ())
    expected = "f4613657f1b108998e8dbd10a1aa5da621dc2c6e02c9ddec0f163664848704c4"
    assert sha256(canonical).hexdigest() == expected


@pytest.mark.parametrize(
    ("skew_s", "accepted"), [(900, True), (-900, True), (901, False), (-901, False)]
)
def test_the_clock_may_differ_by_a_quarter_of_an_hour(skew_s: int, accepted: bool) -> None:
    """±15 minutes are accepted; beyond, the answer carries both times."""
    vector = HEADER_VECTORS[0]
    if accepted:
        verify(header_request(vector), ACCOUNT, vector[6] + skew_s)
        return
    with pytest.raises(Refusal) as caught:
        verify(header_request(vector), ACCOUNT, vector[6] + skew_s)
    assert caught.value.code == "RequestTimeTooSkewed"
    assert caught.value.details["RequestTime"] == "2023-12-16T16:20:57.000Z"


Sign = Callable[..., Answer]


@pytest.fixture
def strict(start_emulator: Callable[..., EmulatorProcess]) -> EmulatorProcess:
    """An emulator that refuses unsigned requests."""
    emulator = start_emulator()
    (emulator.directory / "a b+中.txt").write_bytes(b"content")
    return emulator


KEY = "a b+中.txt"


def signed(
    emulator: EmulatorProcess,
    *,
    method: str = "GET",
    key: str | None = KEY,
    query: str = "",
    key_id: str = "emulator",
    secret: str = "emulator-secret",
    token: str | None = None,
    region: str = "cn-hangzhou",
    product: str = "oss",
    offset_s: float = 0,
    headers: dict[str, str] | None = None,
    additional: set[str] | None = None,
    presign_s: int = 0,
    change: Callable[[HttpRequest], None] = lambda request: None,
) -> Answer:
    """Send a request signed by the official SDK; ``change`` tampers with it after signing."""
    target = emulator.target(key or "") + (f"?{query}" if query else "")
    request = HttpRequest(method, emulator.url + target, headers=headers or {})
    signing_time = datetime.now(UTC) + timedelta(seconds=offset_s)
    context = SigningContext(
        product=product,
        region=region,
        bucket=emulator.bucket,
        key=key,
        request=request,
        credentials=Credentials(key_id, secret, token),
        signing_time=signing_time,
    )
    context.additional_headers = additional
    context.auth_method_query = bool(presign_s)
    context.expiration_time = signing_time + timedelta(seconds=presign_s)
    SignerV4().sign(context)
    change(request)
    parts = urlsplit(request.url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return emulator.request(method, path, headers=dict(request.headers))


def code(answer: Answer) -> str | None:
    return ElementTree.fromstring(answer.body).findtext("Code")


def test_good_signatures_are_accepted(strict: EmulatorProcess) -> None:
    """Object, listing, additional headers, presigned URL and lower case of names all pass."""
    answers = [
        signed(strict),
        signed(strict, headers={"abc": "value"}, additional={"ABC", "no-such"}),
        signed(strict, headers={"x-oss-range-behavior": "standard"}),
        signed(strict, key=None, query="list-type=2&prefix=a%20b%2F&delimiter=%2F"),
        signed(strict, presign_s=60),
        signed(strict, offset_s=-600),
    ]
    assert [answer.status for answer in answers] == [200] * len(answers)
    assert answers[0].body == b"content"


def tamper(**headers: str) -> Callable[[HttpRequest], None]:
    return lambda request: request.headers.update(
        {name.replace("_", "-"): value for name, value in headers.items()}
    )


def test_bad_signatures_are_refused(strict: EmulatorProcess) -> None:
    """Each part that is signed, when wrong, leads to its documented error."""
    refused = {
        "SignatureDoesNotMatch": [
            signed(strict, secret="other"),
            signed(strict, change=tamper(x_oss_added="later")),
            signed(strict, headers={"abc": "1"}, additional={"abc"}, change=tamper(abc="2")),
            signed(strict, presign_s=60, secret="other"),
        ],
        "InvalidAccessKeyId": [signed(strict, key_id="nobody")],
        "InvalidSecurityToken": [signed(strict, token="unknown")],
        "RequestTimeTooSkewed": [signed(strict, offset_s=-1000), signed(strict, offset_s=1000)],
        "AccessDenied": [
            strict.request("GET", strict.target(KEY)),
            signed(strict, presign_s=60, offset_s=-120),
            signed(strict, change=tamper(Authorization="OSS emulator:c2lnbmF0dXJl")),
        ],
    }
    for expected, answers in refused.items():
        assert [(answer.status, code(answer)) for answer in answers] == [(403, expected)] * len(
            answers
        )


def test_malformed_signatures_are_bad_requests(strict: EmulatorProcess) -> None:
    """A wrong region, product, payload hash or header is 400 InvalidArgument, as with OSS."""
    answers = [
        signed(strict, region="cn-beijing"),
        signed(strict, product="oss-cloudbox"),
        signed(strict, change=tamper(x_oss_content_sha256="0" * 64)),
        signed(strict, change=tamper(Authorization="OSS4-HMAC-SHA256 Signature=00")),
        signed(strict, presign_s=604_801),
    ]
    assert [(answer.status, code(answer)) for answer in answers] == [
        (400, "InvalidArgument")
    ] * len(answers)


def test_a_mismatch_shows_what_was_signed(strict: EmulatorProcess) -> None:
    """StringToSign and CanonicalRequest are in the body, so that a client can compare."""
    body = ElementTree.fromstring(signed(strict, secret="other").body)
    canonical = body.findtext("CanonicalRequest", "")
    assert canonical.startswith("GET\n/sample/a%20b%2B%E4%B8%AD.txt\n\nx-oss-content-sha256:")
    digest = sha256(canonical.encode()).hexdigest()
    assert body.findtext("StringToSign", "").endswith(f"aliyun_v4_request\n{digest}")


def test_a_refused_head_explains_itself_in_a_header(strict: EmulatorProcess) -> None:
    """HEAD has no body: the same XML is in x-oss-err, its EC in x-oss-ec, the time in Date."""
    answer = signed(strict, method="HEAD", offset_s=-1000)
    assert answer.status == 403
    error = ElementTree.fromstring(base64.b64decode(answer.headers["x-oss-err"]))
    assert error.findtext("Code") == "RequestTimeTooSkewed"
    assert error.findtext("EC") == answer.headers["x-oss-ec"]
    assert "date" in answer.headers
