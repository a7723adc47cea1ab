"""What servers and programs answer, and what is asked of STS."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume import errors
from ossfs_resume.oss.credentials import sts
from ossfs_resume.oss.credentials.recipes import OidcRole, Role
from ossfs_resume.oss.credentials.sts import Issued, parse_issued, refusal
from ossfs_resume.oss.models import Credentials

NOW = 1703836302.0  # 2023-12-29T07:51:42Z
FLAT = {"AccessKeyId": "ak", "AccessKeySecret": "sk", "SecurityToken": "t"}
CLI = {"mode": "StsToken", "access_key_id": "ak", "access_key_secret": "sk", "sts_token": "t"}
KEY = Credentials("ak", "sk", "t")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (FLAT, Issued(KEY)),
        (FLAT | {"Code": "Success", "Expiration": "2023-12-29T07:52:42Z"}, Issued(KEY, 60.0)),
        ({"Credentials": FLAT | {"Expiration": "2023-12-29T07:52:42Z"}}, Issued(KEY, 60.0)),
        (CLI, Issued(KEY)),
        (CLI | {"expiration": "2023-12-29T15:52:42+08:00"}, Issued(KEY, 60.0)),
        (CLI | {"expiration": 1703836362}, Issued(KEY, 60.0)),
        (
            {"mode": "AK", "access_key_id": "ak", "access_key_secret": "sk"},
            Issued(Credentials("ak", "sk")),
        ),
    ],
)
def test_all_dialects(document: dict[str, object], expected: Issued) -> None:
    assert parse_issued(json.dumps(document).encode(), NOW, "w") == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        json.dumps({"Code": "Failed"}).encode(),
        json.dumps(FLAT | {"AccessKeySecret": None}).encode(),
        json.dumps(FLAT | {"Expiration": "soon"}).encode(),
        json.dumps(FLAT | {"SecurityToken": "two\nlines"}).encode(),
    ],
)
def test_anything_else_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(errors.BadAnswer, match=r"^w gave "):
        parse_issued(body, NOW, "w")


@given(st.binary(max_size=100))
def test_no_error_repeats_the_answer(noise: bytes) -> None:
    body = json.dumps({"AccessKeyId": "ak", "Expiration": "VERYSECRET"}).encode() + noise
    with pytest.raises(errors.BadAnswer) as caught:
        parse_issued(body, NOW, "w")
    assert "VERYSECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "NoPermission", errors.AccessDenied),
        (404, "EntityNotExist.Role", errors.AccessDenied),
        (400, "Throttling.User", errors.Throttled),
        (500, "InternalError", errors.ServerFailed),
    ],
)
def test_refusals(status: int, code: str, kind: type[errors.OriginError]) -> None:
    said = "No. server string to sign is:POST&SecurityToken%3DVERYSECRET"
    body = json.dumps({"Code": code, "Message": said, "RequestId": "R"}).encode()
    error = refusal(status, body, "STS")
    assert type(error) is kind
    assert (error.code, error.request_id) == (code, "R")
    assert str(error).startswith(f"STS: HTTP {status} {code} No.")
    assert "VERYSECRET" not in str(error)
    assert type(refusal(403, b"<html>", "STS")) is errors.AccessDenied


def test_the_signature_of_the_documentation() -> None:
    """The example of Alibaba's description of RPC signatures."""
    parameters = {
        "AccessKeyId": "testid",
        "Action": "DescribeRegions",
        "Format": "XML",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureNonce": "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf",
        "SignatureVersion": "1.0",
        "Timestamp": "2016-02-23T12:46:24Z",
        "Version": "2014-05-26",
    }
    assert sts.signature(parameters, "testsecret", "GET") == "OLeaidS1JvxuMvnyHOwuJ+uX5qY="


def test_secrets_are_in_the_form_and_never_in_the_repr() -> None:
    role = Role("arn", "https://sts.aliyuncs.com", policy="{}", external_id="x")
    wanted = sts.assume_role_with_oidc(OidcRole(role, "p", "/t"), "VERYSECRET", NOW)
    assert b"OIDCToken=VERYSECRET" in wanted.body
    assert "VERYSECRET" not in wanted.target
    assert "VERYSECRET" not in repr(wanted)
    assert "Signature" not in wanted.target
    assert b"Policy=%7B%7D" in wanted.body
    assert b"ExternalId=x" in wanted.body
    assert "Timestamp=2023-12-29T07%3A51%3A42Z" in wanted.target
