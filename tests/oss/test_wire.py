"""Listings, metadata and ranged answers: what is right is read, anything else is refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.errors import BadAnswer, ObjectChanged, OriginError
from ossfs_resume.oss import wire
from ossfs_resume.oss.encoding import percent_encode
from ossfs_resume.oss.endpoint import parse_endpoint
from ossfs_resume.oss.models import ListPage, ObjectMeta, Symlink
from ossfs_resume.oss.request import list_request, range_request

META = ObjectMeta("k", 1000, "E1", 0)


def listing(inside: str, namespace: str = "") -> bytes:
    return f'<?xml version="1.0"?><ListBucketResult{namespace}>{inside}</ListBucketResult>'.encode()


def contents(key: str, extra: str = "<Type>Normal</Type>") -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>2020-05-18T05:45:43.000Z</LastModified>"
        f'<ETag>"5B3C-2"</ETag>{extra}<Size>344606</Size></Contents>'
    )


@pytest.mark.parametrize("namespace", ["", ' xmlns="http://doc.oss-cn-hangzhou.aliyuncs.com"'])
def test_listing(namespace: str) -> None:
    body = listing(
        "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
        "<NextContinuationToken>a%2Bb%3D</NextContinuationToken>"
        + contents("d%2F")
        + contents("d%2Fa%20b+%0A%FF", "<StorageClass>IA</StorageClass>")
        + "<CommonPrefixes><Prefix>d%2Fe%2F</Prefix></CommonPrefixes>",
        namespace,
    )
    assert wire.parse_listing(body) == ListPage(
        (
            ObjectMeta("d/", 344606, "5B3C-2", 1589780743, object_type="Normal"),
            ObjectMeta("d/a b+\n\udcff", 344606, "5B3C-2", 1589780743, storage_class="IA"),
        ),
        ("d/e/",),
        "a+b=",
    )


def test_keys_are_decoded_only_if_the_answer_says_so() -> None:
    assert wire.parse_listing(listing(contents("100%25"))).objects[0].key == "100%25"


def test_an_empty_page_may_not_be_the_last() -> None:
    body = listing(
        "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    )
    assert wire.parse_listing(body) == ListPage((), (), "t")


def test_a_token_without_truncation_is_the_last_page() -> None:
    body = listing(
        "<IsTruncated>false</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    )
    assert wire.parse_listing(body).next_token == ""


def test_a_listing_that_goes_on_nowhere_is_refused() -> None:
    for inside in ("", "<KeyCount>1</KeyCount>" + contents("k")):
        with pytest.raises(OriginError, match="not where"):
            wire.parse_listing(listing(f"<IsTruncated>true</IsTruncated>{inside}"))


@pytest.mark.parametrize(
    ("inside", "marker"),
    [
        ("<EncodingType>url</EncodingType><NextMarker>a%2Fb</NextMarker>", "a/b"),
        (contents("a") + "<CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes>", "b/"),
        (contents("中") + contents("b"), "中"),
    ],
)
def test_a_server_without_v2_is_asked_on_with_markers(inside: str, marker: str) -> None:
    page = wire.parse_listing(listing(f"<IsTruncated>true</IsTruncated>{inside}"))
    endpoint = parse_endpoint("bucket", "http://127.0.0.1", "cn-hangzhou")
    wanted = list_request(endpoint, "p/", token=page.next_token, delimiter="/", max_keys=10)
    assert ("marker", marker) in wanted.query
    assert not {"list-type", "continuation-token"} & dict(wanted.query).keys()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Log in</body></html>",
        b"<Error><Code>X</Code></Error>",
        b"<ListBucketResult>",
        listing("<Contents><Key>k</Key></Contents>"),
        listing(contents("k").replace("344606", "many")),
        listing(contents("k").replace("2020-05-18", "yesterday")),
        listing("<CommonPrefixes/>"),
        b'<?xml version="1.0" encoding="big5"?><ListBucketResult/>',
        b'<?xml version="1.0" encoding="unheard-of"?><ListBucketResult/>',
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]><ListBucketResult/>',
        '<!DOCTYPE x [<!ENTITY a "aaaa">]><ListBucketResult/>'.encode("utf-16"),
    ],
)
def test_what_is_no_listing_is_refused(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        wire.parse_listing(body)


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=5))
def test_every_key_survives_an_encoded_listing(raw: list[bytes]) -> None:
    keys = [key.decode("utf-8", "surrogateescape") for key in raw]
    body = listing(
        "<EncodingType>url</EncodingType>" + "".join(contents(percent_encode(k)) for k in keys)
    )
    assert [meta.key for meta in wire.parse_listing(body).objects] == keys


HEAD = {
    "content-length": "344606",
    "etag": '"5B3C-2"',
    "last-modified": "Mon, 18 May 2020 05:45:43 GMT",
    "x-oss-hash-crc64ecma": "18446744073709551615",
    "x-oss-version-id": "V",
    "x-oss-object-type": "Multipart",
    "x-oss-storage-class": "IA",
}


def test_metadata() -> None:
    assert wire.parse_meta("k", HEAD) == ObjectMeta(
        "k", 344606, "5B3C-2", 1589780743, 2**64 - 1, "V", "Multipart", "IA"
    )


def test_old_objects_lack_much() -> None:
    needed = ("content-length", "etag", "last-modified")
    meta = wire.parse_meta("k", {name: HEAD[name] for name in needed})
    assert meta == ObjectMeta("k", 344606, "5B3C-2", 1589780743)


@pytest.mark.parametrize(
    "change", [{"content-length": ""}, {"content-length": "x"}, {"last-modified": "x"}]
)
def test_incomplete_metadata_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(BadAnswer):
        wire.parse_meta("k", HEAD | change)


def test_the_checksum_of_a_symbolic_link_is_not_the_content_s() -> None:
    assert wire.parse_crc64(HEAD | {"x-oss-object-type": "Symlink"}) is None


@pytest.mark.parametrize("text", ["", "bytes */10", "bytes 0-9/*", "bytes 0-9", "bytes=0-9/10"])
def test_content_range_must_be_complete(text: str) -> None:
    with pytest.raises(BadAnswer):
        wire.parse_content_range(text)


def test_content_range() -> None:
    assert wire.parse_content_range("bytes 100-900/344606") == (100, 901, 344606)


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
    wire.check_range(META, *span, status, headers)


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
        wire.check_range(META, *span, status, headers)


def test_a_listing_of_countless_elements_is_refused_before_a_tree_is_made_of_it() -> None:
    body = b"<ListBucketResult>" + b"<a/>" * 200_000 + b"</ListBucketResult>"
    with pytest.raises(BadAnswer, match="too many elements"):
        wire.parse_listing(body)


GROWN = replace(META, access="grown", object_type="Appendable")


def grown_range(**other: str) -> dict[str, str]:
    return {
        "etag": '"E2"',
        "content-length": "10",
        "content-range": "bytes 0-9/2000",
        "x-oss-object-type": "Appendable",
    } | {name.replace("_", "-"): value for name, value in other.items()}


def test_an_appendable_object_may_have_grown() -> None:
    wire.check_range(GROWN, 0, 10, 206, grown_range())
    with pytest.raises(ObjectChanged):
        wire.check_range(META, 0, 10, 206, grown_range())


@pytest.mark.parametrize(
    "other", [{"x_oss_object_type": "Normal"}, {"content_range": "bytes 0-9/999"}]
)
def test_an_object_that_shrank_or_is_of_another_type_has_not_grown(other: dict[str, str]) -> None:
    with pytest.raises(ObjectChanged):
        wire.check_range(GROWN, 0, 10, 206, grown_range(**other))


def test_a_symlink() -> None:
    headers = {
        "x-oss-symlink-target": "dir%2Fa%20%E4%B8%AD",
        "etag": '"L1"',
        "last-modified": "Mon, 18 May 2020 05:45:43 GMT",
    }
    assert wire.parse_symlink(headers) == Symlink("dir/a 中", "L1", 1589780743)
    with pytest.raises(BadAnswer):
        wire.parse_symlink(headers | {"last-modified": "never"})


def test_a_pinned_version_is_asked_for_by_its_id() -> None:
    endpoint = parse_endpoint("bucket", "http://127.0.0.1", "cn-hangzhou")
    meta = replace(META, version_id="V1")
    assert range_request(endpoint, meta, 0, 10).query == ()
    pinned = range_request(endpoint, replace(meta, access="pinned"), 0, 10)
    assert pinned.query == (("versionId", "V1"),)
    assert pinned.headers["if-match"] == '"E1"'
    assert "if-match" not in range_request(endpoint, GROWN, 0, 10).headers


@pytest.mark.parametrize("size", ["-5", "9" * 30, "9" * 6000, "lots", str(1 << 63)])
def test_a_size_that_no_object_can_have_is_refused(size: str) -> None:
    with pytest.raises(BadAnswer):
        wire.parse_listing(listing(contents("k").replace("344606", size)))
    headers = {"etag": "E", "last-modified": "Mon, 18 May 2020 05:45:43 GMT"}
    with pytest.raises(BadAnswer):
        wire.parse_meta("k", headers | {"content-length": size})


@pytest.mark.parametrize(
    ("year", "seconds"), [("0001", 0), ("1969", 0), ("9999", wire.LATEST_S - 1)]
)
def test_a_date_that_no_file_can_have_is_moved_into_reach(year: str, seconds: int) -> None:
    page = wire.parse_listing(listing(contents("k").replace("2020-05-18", f"{year}-05-18")))
    assert page.objects[0].modified == seconds
    assert 0 <= wire.parse_http_date(f"Mon, 18 May {year} 05:45:43 GMT") < wire.LATEST_S


@pytest.mark.parametrize(
    ("objects", "prefixes"),
    [
        (["a/k", "b"], []),
        (["/etc/passwd"], []),
        (["a"], []),
        ([], ["b/"]),
        ([], ["a/noslash"]),
        ([], ["a/"]),
        ([], [""]),
    ],
)
def test_a_listing_may_not_name_what_was_not_asked_for(
    objects: list[str], prefixes: list[str]
) -> None:
    metas = tuple(ObjectMeta(key, 1, "E", 0) for key in objects)
    with pytest.raises(BadAnswer):
        wire.check_listing(ListPage(metas, tuple(prefixes)), "a/", "/")


def test_what_was_asked_for_is_the_marker_the_keys_and_the_directories_below() -> None:
    metas = (ObjectMeta("a/", 0, "E", 0), ObjectMeta("a/k", 1, "E", 0))
    page = ListPage(metas, ("a//", "a/b/"))
    assert wire.check_listing(page, "a/", "/") is page
    with pytest.raises(BadAnswer):
        wire.check_listing(page, "a/", "")
