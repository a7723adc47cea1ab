"""Error answers: the exception, and a one-line text with code, request id and remedy."""

from base64 import b64encode

import pytest

from ossfs_resume import errors
from ossfs_resume.errors import OriginError
from ossfs_resume.oss.error_responses import error_from

ID = "5C3D9175B6FC201293AD4890"


def xml(code: str, message: str = "Because.", extra: str = "") -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Error xmlns="http://oss">\n'
        f"  <Code>{code}</Code>\n  <Message>\n{message}\n</Message>\n"
        f"  <RequestId>{ID}</RequestId>\n  <EC>0003-00000001</EC>\n{extra}</Error>"
    ).encode()


@pytest.mark.parametrize(
    ("status", "code", "kind", "remedy"),
    [
        (404, "NoSuchKey", errors.NotFound, ""),
        (404, "NoSuchVersion", errors.NotFound, ""),
        (404, "SymlinkTargetNotExist", errors.NotFound, ""),
        (405, "MethodNotAllowed", errors.NotFound, "delete marker"),
        (404, "NoSuchBucket", errors.NoSuchBucket, "--endpoint"),
        (412, "PreconditionFailed", errors.ObjectChanged, ""),
        (416, "InvalidRange", errors.ObjectChanged, ""),
        (403, "InvalidObjectState", errors.NotReadable, "restore"),
        (403, "InvalidAccessKeyId", errors.AccessDenied, "the key from the caller is unknown"),
        (
            403,
            "SignatureDoesNotMatch",
            errors.AccessDenied,
            "the secret of the key from the caller",
        ),
        (403, "SecurityTokenExpired", errors.AccessDenied, "cannot be renewed"),
        (403, "InvalidSecurityToken", errors.AccessDenied, "temporary key from the caller"),
        (403, "AccessDenied", errors.NotPermitted, "policy"),
        (400, "PublicEndpointForbidden", errors.AccessDenied, "--addressing cname"),
        (403, "SecondLevelDomainForbidden", errors.AccessDenied, "--addressing virtual"),
        (403, "PermanentRedirect", errors.AccessDenied, "--region"),
        (403, "TransferAccelerationDisabled", errors.AccessDenied, "acceleration"),
        (403, "UserDisable", errors.AccessDenied, "billing"),
        (403, "RequestTimeTooSkewed", errors.ClockSkewed, "clock"),
        (400, "RequestTimeout", errors.OriginTimeout, ""),
        (400, "BadRequest", errors.ServerFailed, ""),
        (400, "InvalidArgument", errors.BadRequest, ""),
        (400, "InvalidObjectName", errors.BadRequest, ""),
        (500, "InternalError", errors.ServerFailed, ""),
        (503, "ServiceUnavailable", errors.Throttled, ""),
        (503, "TotalQpsLimitExceeded", errors.Throttled, ""),
        (503, "DownloadTrafficRateLimitExceeded", errors.Throttled, ""),
        (503, "ActiveRequestLimitExceeded", errors.Throttled, ""),
        (403, "MetaOperationQpsLimitExceeded", errors.Throttled, ""),
        (503, "SlowDown", errors.Throttled, ""),
        (418, "Unheard", errors.BadRequest, ""),
    ],
)
def test_codes(status: int, code: str, kind: type[OriginError], remedy: str) -> None:
    error = error_from(status, {}, xml(code))
    assert type(error) is kind
    assert (error.status, error.code, error.request_id, error.ec) == (
        *(status, code, ID),
        "0003-00000001",
    )
    text = str(error)
    assert all(part in text for part in (code, ID, "Because.", remedy))
    assert "\n" not in text


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, errors.BadAnswer),
        (400, errors.BadRequest),
        (401, errors.AccessDenied),
        (407, errors.AccessDenied),
        (403, errors.AccessDenied),
        (404, errors.NotFound),
        (408, errors.OriginTimeout),
        (412, errors.ObjectChanged),
        (416, errors.ObjectChanged),
        (429, errors.Throttled),
        (500, errors.ServerFailed),
        (502, errors.ServerFailed),
        (503, errors.Throttled),
        (504, errors.ServerFailed),
    ],
)
def test_without_a_code_the_status_decides(status: int, kind: type[OriginError]) -> None:
    error = error_from(status, {"x-oss-request-id": ID})
    assert type(error) is kind
    assert f"HTTP {status}" in str(error)
    assert ID in str(error)


def test_the_error_of_a_head_is_in_a_header() -> None:
    headers = {"x-oss-err": b64encode(xml("NoSuchBucket")).decode(), "x-oss-ec": "0015-1"}
    error = error_from(404, headers)
    assert type(error) is errors.NoSuchBucket
    assert error.request_id == ID


@pytest.mark.parametrize("text", ["%%%", "a", "bm90IHhtbA=="])
def test_a_spoilt_header_leaves_the_status(text: str) -> None:
    assert type(error_from(404, {"x-oss-err": text})) is errors.NotFound


@pytest.mark.parametrize(
    "body",
    [
        b'{"Error": {"Code": "AccessDenied", "Message": "No.", "RequestId": "R"}}',
        b'{"Code": "AccessDenied", "Message": "No.", "RequestId": "R"}',
    ],
)
def test_json(body: bytes) -> None:
    error = error_from(403, {}, body)
    assert (error.code, error.request_id) == ("AccessDenied", "R")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"Error": 3}',
        b"{}",
        b'{"a":' * 10_000,
        b"\xff\xfe",
        b"<Error>",
        b"<a/>",
        b'<?xml version="1.0" encoding="big5"?><Error/>',
        b'<?xml version="1.0" encoding="unheard-of"?><Error/>',
    ],
)
def test_bodies_that_say_nothing(body: bytes) -> None:
    assert type(error_from(500, {}, body)) is errors.ServerFailed


def test_html_is_quoted_shortly_in_one_line() -> None:
    error = error_from(502, {"content-type": "text/html"}, b"<html>\n<h1>Bad\x00" + b"x" * 10_000)
    assert "<html> <h1>Bad x" in str(error)
    assert len(str(error)) < 400
    assert "\n" not in str(error)


@pytest.mark.parametrize("kind", ["text/html", "text/plain; charset=utf-8", "application/json"])
def test_a_portal_s_404_does_not_say_that_an_object_is_gone(kind: str) -> None:
    error = error_from(404, {"content-type": kind}, b"<html>nothing here</html>")
    assert type(error) is errors.BadAnswer


def test_entities_are_not_expanded() -> None:
    body = b'<!DOCTYPE e [<!ENTITY c "NoSuchBucket">]><Error><Code>&c;</Code></Error>'
    assert error_from(404, {}, body).code == ""
    assert error_from(404, {}, body.decode().encode("utf-16")).code == ""


def test_a_bucket_of_another_region_names_its_endpoint() -> None:
    said = "The bucket you are attempting to access must be addressed using the specified endpoint."
    other = "<Endpoint>oss-cn-beijing.aliyuncs.com</Endpoint>"
    for refused in (xml("AccessDenied", said, other), xml("PermanentRedirect", "Moved.", other)):
        error = error_from(403, {}, refused)
        assert type(error) is errors.AccessDenied
        assert "use --endpoint oss-cn-beijing.aliyuncs.com" in str(error)
    assert "--region" in str(error_from(403, {}, xml("AccessDenied", said)))


def test_a_wrong_region_in_the_signature_names_the_option() -> None:
    error = error_from(400, {}, xml("InvalidArgument", "Invalid signing region in Authorization."))
    assert type(error) is errors.AccessDenied
    assert "--region" in str(error)


def test_a_redirect_says_where_to() -> None:
    error = error_from(302, {"location": "http://portal.example/login"})
    assert "redirects to http://portal.example/login" in str(error)
