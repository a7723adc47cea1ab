"""V1 signatures: the vectors of the official SDKs, and their refusals."""

import time
from collections.abc import Callable

import oss2
import pytest

from ossfs_resume.emulator.refusal import Refusal
from ossfs_resume.emulator.request import Request
from ossfs_resume.emulator.signature import Account
from ossfs_resume.emulator.signature_v1 import verify
from support.emulator import EmulatorProcess

ACCOUNT = Account("ak", "sk", "cn-hangzhou", allows_v1=True)
AT = 1672223261.0  # Wed, 28 Dec 2022 10:27:41 GMT
DATE = "Wed, 28 Dec 2022 10:27:41 GMT"

NELSON = Request(
    "PUT",
    "examplebucket",
    b"nelson",
    (),
    {
        "content-md5": "eB5eJF1ptWaXm4bijSPyxw==",
        "content-type": "text/html",
        "x-oss-date": DATE,
        "x-oss-meta-author": "alice",
        "x-oss-meta-magic": "abracadabra",
        "authorization": "OSS ak:kSHKmLxlyEAKtZPkJhG9bZb5k7M=",
    },
)
UNLISTED = Request(
    "GET",
    "examplebucket",
    b"",
    ((b"resourceGroup", b""), (b"prefix", b"x")),
    {"x-oss-date": DATE, "authorization": "OSS ak:vkQmfuUDyi1uDi3bKt67oemssIs="},
)
PRESIGNED = Request(
    "GET",
    "bucket",
    b"key",
    (
        (b"versionId", b"versionId"),
        (b"OSSAccessKeyId", b"ak"),
        (b"Expires", b"1699807420"),
        (b"Signature", b"dcLTea+Yh9ApirQ8o8dOPqtvJXQ="),
    ),
    {},
)


@pytest.mark.parametrize("request_", [NELSON, UNLISTED, PRESIGNED])
def test_the_vectors_of_the_official_sdks(request_: Request) -> None:
    verify(request_, ACCOUNT, AT)


@pytest.mark.parametrize(
    ("request_", "account", "now", "code"),
    [
        (NELSON, Account("ak", "other", "r"), AT, "SignatureDoesNotMatch"),
        (NELSON, Account("other", "sk", "r"), AT, "InvalidAccessKeyId"),
        (NELSON, Account("ak", "sk", "r", security_token="t"), AT, "InvalidSecurityToken"),
        (NELSON, ACCOUNT, AT + 901, "RequestTimeTooSkewed"),
        (PRESIGNED, ACCOUNT, 1699807421, "AccessDenied"),
    ],
)
def test_refusals(request_: Request, account: Account, now: float, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        verify(request_, account, now)
    assert caught.value.code == code


@pytest.mark.peers
def test_oss2_reads_with_its_own_v1_signer(start_emulator: Callable[..., EmulatorProcess]) -> None:
    emulator = start_emulator(options=["--allow-v1"])
    (emulator.directory / "a b+ü").write_bytes(b"content")
    key = {"access_key_id": "STS.1", "access_key_secret": "s", "security_token": "t/+="}
    emulator.accounts({**key, "expires_at": time.time() + 60})
    auth = oss2.StsAuth("STS.1", "s", "t/+=", auth_version="v1")
    bucket = oss2.Bucket(auth, emulator.url, emulator.bucket)
    assert bucket.get_object("a b+ü").read() == b"content"
    assert [each.key for each in bucket.list_objects_v2("a").object_list] == ["a b+ü"]


def test_they_are_accepted_only_on_request(emulator: EmulatorProcess) -> None:
    answer = emulator.request("GET", emulator.target(), headers={"Authorization": "OSS ak:x"})
    assert answer.status == 403
    assert b"version 4" in answer.body
