"""Listings: what is right is read, anything else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.errors import BadAnswer, OriginError
from ossfs_resume.oss.encoding import percent_encode
from ossfs_resume.oss.endpoint import parse_endpoint
from ossfs_resume.oss.headers import LATEST_S
from ossfs_resume.oss.listing import check_listing, parse_listing
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.oss.request import list_request


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
    assert parse_listing(body) == ListPage(
        (
            ObjectMeta("d/", 344606, "5B3C-2", 1589780743, object_type="Normal"),
            ObjectMeta("d/a b+\n\udcff", 344606, "5B3C-2", 1589780743, storage_class="IA"),
        ),
        ("d/e/",),
        "a+b=",
    )


def test_keys_are_decoded_only_if_the_answer_says_so() -> None:
    assert parse_listing(listing(contents("100%25"))).objects[0].key == "100%25"


@pytest.mark.parametrize("size", ["1_000", " 12 ", "+5", "\uff11\uff12", "9" * 5000, "-1", ""])
def test_a_size_that_is_no_number_is_refused(size: str) -> None:
    with pytest.raises(BadAnswer):
        parse_listing(listing(contents("k").replace("344606", size)))


@pytest.mark.parametrize("date", ["\uff12020-05-18T05:45:43Z", "2020-05-18", f"{'2' * 5000}", ""])
def test_a_date_that_is_none_is_refused(date: str) -> None:
    with pytest.raises(BadAnswer):
        parse_listing(listing(contents("k").replace("2020-05-18T05:45:43.000Z", date)))


def test_an_empty_page_may_not_be_the_last() -> None:
    body = listing(
        "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    )
    assert parse_listing(body) == ListPage((), (), "t")


def test_a_token_without_truncation_is_the_last_page() -> None:
    body = listing(
        "<IsTruncated>false</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    )
    assert parse_listing(body).next_token == ""


def test_a_listing_that_goes_on_nowhere_is_refused() -> None:
    for inside in ("", "<KeyCount>1</KeyCount>" + contents("k")):
        with pytest.raises(OriginError, match="not where"):
            parse_listing(listing(f"<IsTruncated>true</IsTruncated>{inside}"))


@pytest.mark.parametrize(
    ("inside", "marker"),
    [
        ("<EncodingType>url</EncodingType><NextMarker>a%2Fb</NextMarker>", "a/b"),
        (contents("a") + "<CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes>", "b/"),
        (contents("中") + contents("b"), "中"),
    ],
)
def test_a_server_without_v2_is_asked_on_with_markers(inside: str, marker: str) -> None:
    page = parse_listing(listing(f"<IsTruncated>true</IsTruncated>{inside}"))
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
        parse_listing(body)


def test_comments_and_character_data_declare_nothing() -> None:
    page = parse_listing(listing("<!-- x -->" + contents("<![CDATA[a&b]]>")))
    assert [meta.key for meta in page.objects] == ["a&b"]


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=5))
def test_every_key_survives_an_encoded_listing(raw: list[bytes]) -> None:
    keys = [key.decode("utf-8", "surrogateescape") for key in raw]
    body = listing(
        "<EncodingType>url</EncodingType>" + "".join(contents(percent_encode(k)) for k in keys)
    )
    assert [meta.key for meta in parse_listing(body).objects] == keys


def test_a_listing_of_countless_elements_is_refused_before_a_tree_is_made_of_it() -> None:
    body = b"<ListBucketResult>" + b"<a/>" * 200_000 + b"</ListBucketResult>"
    with pytest.raises(BadAnswer, match="too many elements"):
        parse_listing(body)


@pytest.mark.parametrize("size", ["-5", "9" * 30, "9" * 6000, "lots", str(1 << 63)])
def test_a_size_that_no_object_can_have_is_refused(size: str) -> None:
    with pytest.raises(BadAnswer):
        parse_listing(listing(contents("k").replace("344606", size)))


@pytest.mark.parametrize(("year", "seconds"), [("0001", 0), ("1969", 0), ("9999", LATEST_S - 1)])
def test_a_date_that_no_file_can_have_is_moved_into_reach(year: str, seconds: int) -> None:
    page = parse_listing(listing(contents("k").replace("2020-05-18", f"{year}-05-18")))
    assert page.objects[0].modified == seconds


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
        check_listing(ListPage(metas, tuple(prefixes)), "a/", "/")


def test_what_was_asked_for_is_the_marker_the_keys_and_the_directories_below() -> None:
    metas = (ObjectMeta("a/", 0, "E", 0), ObjectMeta("a/k", 1, "E", 0))
    page = ListPage(metas, ("a//", "a/b/"))
    assert check_listing(page, "a/", "/") is page
    with pytest.raises(BadAnswer):
        check_listing(page, "a/", "")


def usual(key: str, etag: str = "5B3C-2", owner: str = "", *, is_usual: bool = True) -> str:
    """An entry as OSS writes it, or in an order of its own."""
    fields = [
        f"<Key>{key}</Key>",
        "<LastModified>2020-05-18T05:45:43.000Z</LastModified>",
        f"<ETag>&quot;{etag}&quot;</ETag>",
        "<Type>Normal</Type>",
        "<Size>344606</Size>",
        "<StorageClass>Standard</StorageClass>",
    ]
    return f"<Contents>{''.join(fields if is_usual else fields[::-1])}{owner}</Contents>"


def page_of(entries: list[str], count: int) -> bytes:
    return listing(
        f"<EncodingType>url</EncodingType><KeyCount>{count}</KeyCount>"
        + "\n".join(entries)
        + "<CommonPrefixes><Prefix>d%2Fe%2F</Prefix></CommonPrefixes>"
    )


OWNER = "<Owner><ID>0022</ID><DisplayName>user</DisplayName></Owner>"


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=20), st.sampled_from(["", OWNER]))
def test_the_usual_page_means_what_xml_makes_of_it(raw: list[bytes], owner: str) -> None:
    keys = [percent_encode(key.decode("utf-8", "surrogateescape")) for key in raw]
    usually = page_of([usual(key, owner=owner) for key in keys], len(keys) + 1)
    otherwise = page_of([usual(key, owner=owner, is_usual=False) for key in keys], len(keys) + 1)
    assert parse_listing(usually) == parse_listing(otherwise)


@pytest.mark.parametrize("odd", ["<Contents/>", usual("b", is_usual=False), contents("b&amp;c")])
def test_a_page_with_one_unusual_entry_is_read_as_xml(odd: str) -> None:
    body = page_of([usual("a"), odd], 3)
    if odd == "<Contents/>":
        with pytest.raises(BadAnswer):
            parse_listing(body)
    else:
        assert [meta.key[0] for meta in parse_listing(body).objects] == ["a", "b"]


def test_a_usual_page_that_names_another_number_of_keys_is_read_as_xml() -> None:
    nested = page_of([usual("a"), f"<Other>{usual('b')}</Other>"], 2)
    assert [meta.key for meta in parse_listing(nested).objects] == ["a"]
