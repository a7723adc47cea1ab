"""Ranged answers: exactly what was asked for is taken, anything else is refused."""

from dataclasses import replace

import pytest

from ossfs_resume.errors import BadAnswer, ObjectChanged
from ossfs_resume.oss.endpoint import parse_endpoint
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.oss.range_answer import check_range, parse_content_range
from ossfs_resume.oss.request import range_request

META = ObjectMeta("k", 1000, "E1", 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bytes */10",
        "bytes 0-9/*",
        "bytes 0-9",
        "bytes=0-9/10",
        f"bytes 0-9/{'9' * 5000}",
        "bytes \uff10-9/10",
    ],
)
def test_content_range_must_be_complete(text: str) -> None:
    with pytest.raises(BadAnswer):
        parse_content_range(text)


def test_content_range() -> None:
    assert parse_content_range("bytes 100-900/344606") == (100, 901, 344606)


GOOD = {"content-range": "bytes 10-19/1000", "etag": '"E1"', "content-length": "10"}
WHOLE = {"etag": '"E1"', "content-length": "1000"}


@pytest.mark.parametrize(
    ("span", "status", "headers"),
    [
        ((10, 20), 206, GOOD),
        ((10, 20), 206, GOOD | {"content-encoding": "gzip"}),
        ((0, 1000), 200, WHOLE),
    ],
)
def test_right_ranges(span: tuple[int, int], status: int, headers: dict[str, str]) -> None:
    check_range(META, *span, status, headers)


@pytest.mark.parametrize(
    ("span", "status", "headers", "kind"),
    [
        ((10, 20), 206, GOOD | {"etag": '"E2"'}, ObjectChanged),
        ((10, 20), 206, GOOD | {"content-range": "bytes 10-19/1001"}, ObjectChanged),
        ((10, 20), 206, GOOD | {"content-range": "bytes 11-19/1000"}, BadAnswer),
        ((10, 20), 206, GOOD | {"content-range": "bytes 10-20/1000"}, BadAnswer),
        ((10, 20), 206, GOOD | {"content-range": ""}, BadAnswer),
        ((10, 20), 206, GOOD | {"etag": ""}, BadAnswer),
        ((10, 20), 206, GOOD | {"content-length": "11"}, BadAnswer),
        ((10, 20), 206, GOOD | {"content-length": ""}, BadAnswer),
        ((10, 20), 206, GOOD | {"transfer-encoding": "chunked"}, BadAnswer),
        ((10, 20), 200, WHOLE, BadAnswer),
        ((0, 1000), 200, WHOLE | {"etag": '"E2"'}, ObjectChanged),
        ((0, 1000), 200, WHOLE | {"etag": ""}, BadAnswer),
        ((0, 1000), 200, WHOLE | {"content-length": "999"}, BadAnswer),
        ((0, 999), 200, WHOLE, BadAnswer),
        ((10, 20), 204, GOOD, BadAnswer),
    ],
)
def test_wrong_ranges(
    span: tuple[int, int], status: int, headers: dict[str, str], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        check_range(META, *span, status, headers)


GROWN = replace(META, access="grown", object_type="Appendable")


def grown_range(**other: str) -> dict[str, str]:
    return {
        "etag": '"E2"',
        "content-length": "10",
        "content-range": "bytes 0-9/2000",
        "x-oss-object-type": "Appendable",
    } | {name.replace("_", "-"): value for name, value in other.items()}


def test_an_appendable_object_may_have_grown() -> None:
    check_range(GROWN, 0, 10, 206, grown_range())
    with pytest.raises(ObjectChanged):
        check_range(META, 0, 10, 206, grown_range())


@pytest.mark.parametrize(
    "other", [{"x_oss_object_type": "Normal"}, {"content_range": "bytes 0-9/999"}]
)
def test_an_object_that_shrank_or_is_of_another_type_has_not_grown(other: dict[str, str]) -> None:
    with pytest.raises(ObjectChanged):
        check_range(GROWN, 0, 10, 206, grown_range(**other))


def test_a_pinned_version_is_asked_for_by_its_id() -> None:
    endpoint = parse_endpoint("bucket", "http://127.0.0.1", "cn-hangzhou")
    meta = replace(META, version_id="V1")
    assert range_request(endpoint, meta, 0, 10).query == ()
    pinned = range_request(endpoint, replace(meta, access="pinned"), 0, 10)
    assert pinned.query == (("versionId", "V1"),)
    assert pinned.headers["if-match"] == '"E1"'
    assert "if-match" not in range_request(endpoint, GROWN, 0, 10).headers
