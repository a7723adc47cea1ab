"""Endpoints as users type them, hosts, regions, paths, and the identity of a bucket's cache. Where
a bucket is: what was given first, then what ossutil was configured with.
"""

import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.errors import SettingsError
from ossfs_resume.oss.credentials import ossutil
from ossfs_resume.oss.encoding import encode_query, percent_decode, percent_encode
from ossfs_resume.oss.endpoint import Addressing, Location, cache_identity, complete, parse_endpoint

KEYS = st.binary(min_size=1, max_size=60).map(lambda b: b.decode("utf-8", "surrogateescape"))
DOTTY = st.text(alphabet="a./", min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("endpoint", "region", "base_url", "derived"),
    [
        (
            "oss-cn-hangzhou.aliyuncs.com",
            "",
            "https://bkt.oss-cn-hangzhou.aliyuncs.com",
            "cn-hangzhou",
        ),
        (
            "http://oss-cn-hangzhou.aliyuncs.com/",
            "",
            "http://bkt.oss-cn-hangzhou.aliyuncs.com",
            "cn-hangzhou",
        ),
        (
            "https://oss-us-west-1.aliyuncs.com:8443",
            "",
            "https://bkt.oss-us-west-1.aliyuncs.com:8443",
            "us-west-1",
        ),
        (
            "https://oss-us-west-1.aliyuncs.com:443",
            "",
            "https://bkt.oss-us-west-1.aliyuncs.com",
            "us-west-1",
        ),
        (
            "oss-cn-hangzhou-internal.aliyuncs.com",
            "",
            "https://bkt.oss-cn-hangzhou-internal.aliyuncs.com",
            "cn-hangzhou",
        ),
        (
            "cn-hangzhou.oss.aliyuncs.com",
            "",
            "https://bkt.cn-hangzhou.oss.aliyuncs.com",
            "cn-hangzhou",
        ),
        (
            "cn-hangzhou-internal.oss.aliyuncs.com",
            "",
            "https://bkt.cn-hangzhou-internal.oss.aliyuncs.com",
            "cn-hangzhou",
        ),
        ("oss.aliyuncs.com", "", "https://bkt.oss.aliyuncs.com", "cn-hangzhou"),
        ("oss-internal.aliyuncs.com", "", "https://bkt.oss-internal.aliyuncs.com", "cn-hangzhou"),
        (
            "oss-accelerate.aliyuncs.com",
            "cn-beijing",
            "https://bkt.oss-accelerate.aliyuncs.com",
            "cn-beijing",
        ),
        (
            "oss-accelerate-overseas.aliyuncs.com",
            "us-east-1",
            "https://bkt.oss-accelerate-overseas.aliyuncs.com",
            "us-east-1",
        ),
        (
            "cb-f8z7.cn-hangzhou.oss-cloudbox.aliyuncs.com",
            "",
            "https://bkt.cb-f8z7.cn-hangzhou.oss-cloudbox.aliyuncs.com",
            "cb-f8z7",
        ),
        (
            "bkt.oss-cn-hangzhou.aliyuncs.com",
            "",
            "https://bkt.oss-cn-hangzhou.aliyuncs.com",
            "cn-hangzhou",
        ),
        (
            " OSS-CN-Hangzhou.aliyuncs.com. ",
            "",
            "https://bkt.oss-cn-hangzhou.aliyuncs.com",
            "cn-hangzhou",
        ),
        ("", "cn-shanghai", "https://bkt.oss-cn-shanghai.aliyuncs.com", "cn-shanghai"),
        ("", "oss-cn-shanghai", "https://bkt.oss-cn-shanghai.aliyuncs.com", "cn-shanghai"),
        (
            "oss-cn-shanghai-finance-1-pub.aliyuncs.com",
            "cn-shanghai-finance-1",
            "https://bkt.oss-cn-shanghai-finance-1-pub.aliyuncs.com",
            "cn-shanghai-finance-1",
        ),
        ("oss.private.example", "dc-1", "https://bkt.oss.private.example", "dc-1"),
        ("http://127.0.0.1:9000", "x", "http://127.0.0.1:9000", "x"),
        ("http://localhost:9000", "x", "http://localhost:9000", "x"),
        ("http://[::1]:9000", "x", "http://[::1]:9000", "x"),
        ("fd00::1", "x", "https://[fd00::1]", "x"),
    ],
)
def test_endpoint(endpoint: str, region: str, base_url: str, derived: str) -> None:
    parsed = parse_endpoint("bkt", endpoint, region)
    assert (parsed.base_url, parsed.region) == (base_url, derived)


@pytest.mark.parametrize(
    ("addressing", "endpoint", "base_url", "bucket_path", "object_path"),
    [
        (
            "auto",
            "oss-cn-hangzhou.aliyuncs.com",
            "https://bkt.oss-cn-hangzhou.aliyuncs.com",
            "/",
            "/k",
        ),
        ("auto", "http://10.0.0.1", "http://10.0.0.1", "/bkt/", "/bkt/k"),
        ("path", "http://store.example:80", "http://store.example", "/bkt/", "/bkt/k"),
        ("virtual", "http://localhost:1", "http://bkt.localhost:1", "/", "/k"),
        ("cname", "data.example.com", "https://data.example.com", "/", "/k"),
        (
            "cname",
            "bkt.oss-cn-hangzhou.aliyuncs.com",
            "https://bkt.oss-cn-hangzhou.aliyuncs.com",
            "/",
            "/k",
        ),
        (
            "cname",
            "oss-accelerate.aliyuncs.com",
            "https://bkt.oss-accelerate.aliyuncs.com",
            "/",
            "/k",
        ),
    ],
)
def test_addressing(
    addressing: str, endpoint: str, base_url: str, bucket_path: str, object_path: str
) -> None:
    parsed = parse_endpoint("bkt", endpoint, "cn-hangzhou", addressing)
    assert parsed.base_url == base_url
    assert (parsed.bucket_path, parsed.object_path("k")) == (bucket_path, object_path)
    assert (parsed.resource(), parsed.resource("k")) == ("/bkt/", "/bkt/k")


@pytest.mark.parametrize(
    ("addressing", "endpoint", "is_doubtful"),
    [
        ("auto", "data.example.com", True),
        ("cname", "data.example.com", False),
        ("auto", "oss-cn-hangzhou.aliyuncs.com", False),
        ("auto", "10.0.0.1", False),
    ],
)
def test_a_custom_domain_that_was_not_said_to_be_one(
    addressing: str, endpoint: str, is_doubtful: bool
) -> None:
    hint = parse_endpoint("bkt", endpoint, "cn-hangzhou", addressing).hint
    assert ("--addressing cname" in hint) is is_doubtful


def test_cloud_box_has_its_own_product() -> None:
    parsed = parse_endpoint("bkt", "cb-1.cn-hangzhou.oss-cloudbox.aliyuncs.com")
    assert (parsed.product, parsed.region) == ("oss-cloudbox", "cb-1")


def test_no_region_is_needed_without_version_4() -> None:
    assert parse_endpoint("bkt", "oss.example", region_required=False).region == ""


@pytest.mark.parametrize(
    ("bucket", "endpoint", "region", "addressing", "words"),
    [
        ("bkt", "", "", "auto", "neither --endpoint nor --region"),
        ("bkt", "data.example.com", "", "cname", "data.example.com: give --region"),
        ("bkt", "oss-accelerate.aliyuncs.com", "", "auto", "give --region"),
        ("bkt", "http://127.0.0.1", "", "auto", "give --region"),
        ("bkt", "oss://bkt", "x", "auto", "scheme must be http or https"),
        ("bkt", "http://h/prefix", "x", "auto", "oss://BUCKET/PREFIX"),
        ("bkt", "http://h:99999", "x", "auto", "not an address"),
        ("bkt", "http://h:port", "x", "auto", "not an address"),
        ("bkt", "http://", "x", "auto", "not an address|no valid host"),
        ("bkt", "http://a b", "x", "auto", "no valid host"),
        ("bkt", "http://127.0.0.1", "x", "virtual", "use path"),
        ("bkt", "h.example", "x", "dns", "auto, virtual, path, cname"),
        ("bkt", "h.example", "cn hangzhou", "auto", "--region"),
        ("bkt", "other.oss-cn-hangzhou.aliyuncs.com", "", "auto", "names the bucket 'other'"),
        ("Bkt", "", "x", "auto", "not a bucket name"),
        ("ab", "", "x", "auto", "not a bucket name"),
        ("-ab", "", "x", "auto", "not a bucket name"),
        ("a" * 64, "", "x", "auto", "not a bucket name"),
        ("a.b.c", "", "x", "auto", "not a bucket name"),
    ],
)
def test_wrong_settings_are_named_in_one_line(
    bucket: str, endpoint: str, region: str, addressing: str, words: str
) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        parse_endpoint(bucket, endpoint, region, addressing)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://me:hidden@h.example",
        "me:hidden@h.example",
        "ftp://me:hidden@h.example",
        "http://me:hidden@[bad",
        "http://me:hidden/2@h.example",
    ],
)
def test_password_in_an_endpoint_is_not_repeated(endpoint: str) -> None:
    with pytest.raises(SettingsError, match=r"give only \[http") as caught:
        parse_endpoint("bkt", endpoint, "x")
    assert "hidden" not in str(caught.value)


def test_all_hosts_of_the_public_cloud_share_one_cache() -> None:
    endpoints = (
        ("oss-cn-hangzhou.aliyuncs.com", "auto"),
        ("http://oss-cn-hangzhou-internal.aliyuncs.com", "auto"),
        ("oss-accelerate.aliyuncs.com", "auto"),
        ("cn-hangzhou.oss.aliyuncs.com", "auto"),
        ("data.example.com", "cname"),
    )
    parsed = [parse_endpoint("bkt", e, "cn-hangzhou", style) for e, style in endpoints]
    assert {cache_identity(p) for p in parsed} == {"aliyuncs+bkt"}


def test_foreign_hosts_and_buckets_do_not_share_a_cache() -> None:
    wanted = (
        ("bkt", "https://oss-cn-hangzhou.aliyuncs.com", "auto"),
        ("bk2", "https://oss-cn-hangzhou.aliyuncs.com", "auto"),
        ("bkt", "https://cb-1.cn-hangzhou.oss-cloudbox.aliyuncs.com", "auto"),
        ("bkt", "http://store.example", "auto"),
        ("bkt", "https://store.example", "auto"),
        ("bkt", "http://127.0.0.1:9000", "auto"),
        ("bkt", "http://127.0.0.1:9001", "auto"),
        ("bkt", "http://127.0.0.1:9002", "cname"),
        ("bkt", "http://[::1]:9000", "auto"),
    )
    names = [cache_identity(parse_endpoint(b, e, "cn-hangzhou", s)) for b, e, s in wanted]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9.+%_-]+", name) for name in names)


@given(KEYS | DOTTY)
def test_a_key_is_one_segment_that_nothing_can_normalise(key: str) -> None:
    path = parse_endpoint("bkt", "", "x").object_path(key)
    segment = path.removeprefix("/")
    assert "/" not in segment
    assert segment not in (".", "..")
    assert re.fullmatch(r"(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+", segment)
    assert unquote_to_bytes(segment) == key.encode("utf-8", "surrogateescape")


@given(KEYS)
def test_keys_survive_encoding(key: str) -> None:
    assert percent_decode(percent_encode(key)) == key


@given(st.dictionaries(KEYS, st.just("") | KEYS, max_size=6))
def test_queries_survive_encoding(query: dict[str, str]) -> None:
    text = encode_query(query.items())
    pairs = [pair.partition("=") for pair in text.split("&")] if query else []
    assert {percent_decode(n): percent_decode(v) for n, _, v in pairs} == query


def test_addressing_of_a_result_is_never_auto() -> None:
    assert parse_endpoint("bkt", "", "x").style is Addressing.VIRTUAL
    assert parse_endpoint("bkt", "10.0.0.1", "x").style is Addressing.PATH


FILE = """
[Credentials]
end-point = oss-cn-hangzhou.aliyuncs.com
region = cn-hangzhou
[Bucket-Endpoint]
my-bucket = oss-cn-beijing-internal.aliyuncs.com
named=http://127.0.0.1:9000
[Bucket-Cname]
named = data.example.com
"""


@pytest.mark.parametrize(
    ("bucket", "expected"),
    [
        ("named", ("data.example.com", "cn-hangzhou", "cname", "f, [Bucket-Cname]")),
        (
            "my-bucket",
            ("oss-cn-beijing-internal.aliyuncs.com", "cn-hangzhou", "auto", "f, [Bucket-Endpoint]"),
        ),
        ("mybucket", ("oss-cn-hangzhou.aliyuncs.com", "cn-hangzhou", "auto", "f")),
    ],
)
def test_the_file_of_ossutil(bucket: str, expected: tuple[str, str, str, str]) -> None:
    assert ossutil.parse_location(FILE, bucket, "f") == Location(*expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Location()),
        ("[Credentials]\naccessKeyID=a\n", Location()),
        ("[Credentials]\nhost = h\n", Location("h", where="f")),
        ("[default]\nregion=cn-beijing\n", Location("", "cn-beijing", where="f")),
    ],
)
def test_other_shapes_of_it(text: str, expected: Location) -> None:
    assert ossutil.parse_location(text, "bucket", "f") == expected


def test_a_file_that_is_broken_is_told_without_its_content() -> None:
    with pytest.raises(SettingsError, match="line 1") as caught:
        ossutil.parse_location("SECRET = x\n", "bucket", "f")
    assert "SECRET" not in str(caught.value)


HANGZHOU = "oss-cn-hangzhou.aliyuncs.com"
BOTH = Location(HANGZHOU, "cn-hangzhou", where="f")
CNAME = Location("data.example.com", "cn-hangzhou", "cname", "f")


@pytest.mark.parametrize(
    ("given", "found", "expected"),
    [
        (Location(), BOTH, BOTH),
        (Location(), Location(), Location()),
        (Location(), Location("", "cn-beijing", where="f"), Location("", "cn-beijing", where="f")),
        # Who names a region wants that region's endpoint,
        (Location("", "cn-beijing"), BOTH, Location("", "cn-beijing")),
        (Location("", "oss-cn-hangzhou"), BOTH, Location(HANGZHOU, "oss-cn-hangzhou", where="f")),
        (Location("", "cn-beijing"), Location(), Location("", "cn-beijing")),
        # but a custom domain belongs to any.
        (
            Location("", "cn-beijing"),
            CNAME,
            Location("data.example.com", "cn-beijing", "cname", "f"),
        ),
        (Location("", "", "path"), CNAME, Location("data.example.com", "cn-hangzhou", "path", "f")),
        # The region of the file serves an endpoint that tells none.
        (Location("10.0.0.1"), BOTH, Location("10.0.0.1", "cn-hangzhou", where="f")),
        (Location("10.0.0.1"), Location(HANGZHOU, where="f"), Location("10.0.0.1")),
    ],
)
def test_what_was_given_has_the_word(given: Location, found: Location, expected: Location) -> None:
    assert complete("bucket", given, lambda: found) == expected


@pytest.mark.parametrize(
    "given", [Location(HANGZHOU), Location("10.0.0.1", "cn-hangzhou"), Location(HANGZHOU, "x")]
)
def test_the_file_is_not_even_read_if_all_was_given(given: Location) -> None:
    def find() -> Location:
        raise AssertionError

    assert complete("bucket", given, find) == given
