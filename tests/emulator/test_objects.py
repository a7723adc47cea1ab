"""Objects over HTTP: headers, odd keys, addressing, writing. Conditional requests over the wire.
OSS's reading of Range: its documented table over the wire, and what holds for any range.
"""

import os
import re
from email.utils import formatdate
from urllib.parse import quote, unquote_to_bytes
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.emulator.index import plain_path, side_key, side_path
from ossfs_resume.emulator.objects import Unsatisfiable, Verdict, judge, resolve
from support.emulator import EmulatorProcess

ODD_KEYS = [
    b"a//b",
    b"/lead",
    b"//",
    b"/",
    b"..",
    b".",
    b"../../etc/passwd",
    b"a/../b",
    b"a/./b",
    b"dir/",
    b"both",
    b"both/below",
    b"deep",
    b"deep/",
    b"deep/er/",
    b"x" * 256,
    b"y/" + b"z" * 1000,
    b"%2F",
    b"%41",
    b"a+b c",
    b"new\nline\ttab",
    b"\x01\x7f",
    b"latin-1 \xe9\xff",
    "文件 #1?~!'()*.txt".encode(),
    b".ossfs-emulator/keys/x",
    b"-/faults",
    b"\\back",
]


def keys_of(emulator: EmulatorProcess) -> list[bytes]:
    answer = emulator.request(
        "GET", f"/{emulator.bucket}/?list-type=2&encoding-type=url&max-keys=1000"
    )
    found = ElementTree.fromstring(answer.body).findall("Contents/Key")
    return [unquote_to_bytes(element.text or "") for element in found]


def test_odd_keys_are_objects_like_any(emulator: EmulatorProcess) -> None:
    """Each key keeps its own content beside all others, is listed, and can be deleted."""
    for key in ODD_KEYS:
        assert emulator.request("PUT", emulator.target(key), body=b"of " + key).status == 200
    for key in ODD_KEYS:
        assert emulator.request("GET", emulator.target(key)).body == b"of " + key
    assert keys_of(emulator) == sorted(ODD_KEYS)
    for key in ODD_KEYS:
        assert emulator.request("DELETE", emulator.target(key)).status == 204
        assert emulator.request("HEAD", emulator.target(key)).status == 404
    assert keys_of(emulator) == []
    assert not (emulator.directory.parent / "lead").exists()


@pytest.mark.parametrize("target", ["a//b/../c", "a/./b", "..", "%2E%2E/x", "a%2Fb%252F"])
def test_targets_arrive_untouched(emulator: EmulatorProcess, target: str) -> None:
    """Dots, double slashes and escapes of the target reach the key as they are."""
    emulator.request("PUT", f"/{emulator.bucket}/{target}", body=b"x")
    assert keys_of(emulator) == [unquote_to_bytes(target)]


def test_a_file_on_the_disk_wins_over_the_side_folder(emulator: EmulatorProcess) -> None:
    """A plain file made on the disk replaces the object of the same key."""
    (emulator.directory / "a").mkdir()
    emulator.request("PUT", emulator.target("a"), body=b"aside")
    (emulator.directory / "a").rmdir()
    (emulator.directory / "a").write_bytes(b"plain")
    assert emulator.request("GET", emulator.target("a")).body == b"plain"
    assert keys_of(emulator) == [b"a"]


@given(st.binary(min_size=1, max_size=1023))
def test_every_key_has_a_side_path(key: bytes) -> None:
    """The encoding is reversible, within the limits of names, and never leaves its folder."""
    path = side_path(key)
    assert side_key(path) == key
    names = path.split(b"/")
    assert all(0 < len(name) <= 255 and name.strip(b".") for name in names)
    assert all(name.endswith(b"+") for name in names[:-1])
    assert not names[-1].endswith(b"+")


@given(st.lists(st.sampled_from([b"", b".", b"..", b"a", b"\0", b"n" * 256]), max_size=4))
def test_a_plain_path_has_only_real_names(names: list[bytes]) -> None:
    """Exactly the keys whose every component can be a file name are plain."""
    path = plain_path(b"/".join(names))
    assert (path is not None) == (bool(names) and set(names) == {b"a"})


def test_head_and_get_describe_alike(emulator: EmulatorProcess) -> None:
    """All documented headers are there, equal for HEAD and GET; objectMeta has the short list."""
    (emulator.directory / "o.txt").write_bytes(b"hello world")
    os.utime(emulator.directory / "o.txt", (0, 1_700_000_000))
    head, get = (emulator.request(method, emulator.target("o.txt")) for method in ("HEAD", "GET"))
    meta = emulator.request("HEAD", emulator.target("o.txt") + "?objectMeta")
    expected = {
        "etag": '"5EB63BBBE01EEED093CB22BB8F5ACDC3"',
        "content-length": "11",
        "last-modified": "Tue, 14 Nov 2023 22:13:20 GMT",
        "x-oss-hash-crc64ecma": "5981764153023615706",
        "x-oss-object-type": "Normal",
    }
    described = {
        "content-md5": "XrY7u+Ae7tCTyyK7j1rNww==",
        "content-type": "text/plain",
        "accept-ranges": "bytes",
        "x-oss-storage-class": "Standard",
    }
    assert head.headers.items() >= (expected | described).items()
    assert get.headers.items() >= (expected | described).items()
    assert meta.headers.items() >= expected.items()
    assert not described.keys() & meta.headers.keys()
    assert re.fullmatch("[0-9A-F]{24}", head.headers["x-oss-request-id"])
    assert head.headers["x-oss-server-time"].isdecimal()
    assert (head.body, meta.body, get.body) == (b"", b"", b"hello world")


def test_a_replaced_file_has_another_etag(emulator: EmulatorProcess) -> None:
    """In place or by rename, with the same size and within the same second: the ETag differs."""
    path, other = emulator.directory / "o", emulator.directory.parent / "other"
    seen = set()
    for round_ in range(20):
        path.write_bytes(b"in place %02d" % round_)
        seen.add(emulator.request("HEAD", emulator.target("o")).headers["etag"])
        other.write_bytes(b"renamed  %02d" % round_)
        other.rename(path)
        os.utime(path, (0, 0))
        seen.add(emulator.request("HEAD", emulator.target("o")).headers["etag"])
    assert len(seen) == 40


def test_a_large_object_looks_like_a_multipart_upload(emulator: EmulatorProcess) -> None:
    """Above 64 MiB the ETag is opaque and ends in -N; it depends on the content alone."""
    path = emulator.directory / "large"
    with path.open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    first = emulator.request("HEAD", emulator.target("large")).headers
    assert re.fullmatch('"[0-9A-F]{32}-5"', first["etag"])
    assert first["x-oss-object-type"] == "Multipart"
    os.utime(path)
    assert emulator.request("HEAD", emulator.target("large")).headers["etag"] == first["etag"]
    with path.open("r+b") as file:
        file.write(b"x")
    assert emulator.request("HEAD", emulator.target("large")).headers["etag"] != first["etag"]


def test_put_answers_with_etag_and_checksum(emulator: EmulatorProcess) -> None:
    """PUT replaces atomically and says what HEAD will say; DELETE of nothing succeeds."""
    put = emulator.request("PUT", emulator.target("o"), body=b"x" * 300_000)
    head = emulator.request("HEAD", emulator.target("o"))
    assert put.headers["etag"] == head.headers["etag"]
    assert put.headers["x-oss-hash-crc64ecma"] == head.headers["x-oss-hash-crc64ecma"]
    assert (emulator.directory / "o").read_bytes() == b"x" * 300_000
    assert emulator.request("DELETE", emulator.target("nothing")).status == 204


@pytest.mark.parametrize("host", ["sample.localhost", "sample.127.0.0.1", "sample.oss.example:80"])
def test_virtual_hosted_style(emulator: EmulatorProcess, host: str) -> None:
    """If the Host's first label is the bucket, the whole path is the key, control paths too."""
    for key in ("a/b", "-/statistics"):
        target = "/" + quote(key)
        emulator.request("PUT", target, headers={"Host": host}, body=key.encode())
        assert emulator.request("GET", emulator.target(key)).body == key.encode()
    listing = emulator.request("GET", "/", headers={"Host": host})
    assert listing.body.count(b"<Key>") == 2


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "/other/key", 404, "NoSuchBucket"),
        ("GET", "/sample/none", 404, "NoSuchKey"),
        ("GET", "/sample/none/", 404, "NoSuchKey"),
        ("GET", "/sample/" + "k" * 1024, 400, "InvalidObjectName"),
        ("POST", "/sample/key", 501, "NotImplemented"),
        ("GET", "/sample/o?symlink", 400, "NotSymlink"),
        ("GET", "/sample/o?acl", 501, "NotImplemented"),
    ],
)
def test_errors_are_documents(
    emulator: EmulatorProcess, method: str, target: str, status: int, code: str
) -> None:
    """An error has its status, code and request id in the body."""
    (emulator.directory / "o").write_bytes(b"")
    answer = emulator.request(method, target)
    body = ElementTree.fromstring(answer.body)
    assert (answer.status, body.findtext("Code")) == (status, code)
    assert body.findtext("RequestId") == answer.headers["x-oss-request-id"]


def test_the_bucket_describes_itself(emulator: EmulatorProcess) -> None:
    """Location, info and the list of buckets name this bucket and its region."""
    location = emulator.request("GET", "/sample/?location").body
    assert ElementTree.fromstring(location).text == "oss-cn-hangzhou"
    info = ElementTree.fromstring(emulator.request("GET", "/sample/?bucketInfo").body)
    assert info.findtext("Bucket/Name") == "sample"
    buckets = ElementTree.fromstring(emulator.request("GET", "/").body)
    assert buckets.findtext("Buckets/Bucket/Name") == "sample"


ETAG = "5D41402ABC4B2A76B9719D911017C592"  # MD5 of b"hello"
MODIFIED = 1_700_000_000
EARLIER, SAME, LATER = (formatdate(MODIFIED + d, usegmt=True) for d in (-10, 0, 10))

CONDITION_CASES = [
    ({"If-Match": f'"{ETAG}"'}, 200),
    ({"If-Match": ETAG}, 200),
    ({"If-Match": f'"other", "{ETAG}"'}, 200),
    ({"If-Match": "*"}, 200),
    ({"If-Match": '"other"'}, 412),
    ({"If-None-Match": f'"{ETAG}"'}, 304),
    ({"If-None-Match": ETAG}, 304),
    ({"If-None-Match": '"other"'}, 200),
    ({"If-Modified-Since": EARLIER}, 200),
    ({"If-Modified-Since": SAME}, 304),
    ({"If-Modified-Since": LATER}, 304),
    ({"If-Unmodified-Since": EARLIER}, 412),
    ({"If-Unmodified-Since": SAME}, 200),
    ({"If-Unmodified-Since": "yesterday"}, 200),
    ({"If-Match": ETAG, "If-Unmodified-Since": SAME}, 200),
    ({"If-Match": ETAG, "Range": "bytes=1-2"}, 206),
    ({"If-Match": '"other"', "Range": "bytes=1-2"}, 412),
]


@pytest.mark.parametrize(("headers", "status"), CONDITION_CASES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_condition(
    emulator: EmulatorProcess, method: str, headers: dict[str, str], status: int
) -> None:
    """Each condition alone, and with a range, leads to the documented status on GET and HEAD."""
    (emulator.directory / "o").write_bytes(b"hello")
    os.utime(emulator.directory / "o", (MODIFIED, MODIFIED))
    answer = emulator.request(method, emulator.target("o"), headers=headers)
    assert answer.status == (200 if method == "HEAD" and status == 206 else status)
    if status == 412:
        assert (b"PreconditionFailed" in answer.body) == (method == "GET")
        assert ("x-oss-err" in answer.headers) == (method == "HEAD")
    if status == 304:
        assert answer.body == b""


def test_the_etag_wins_over_the_time() -> None:
    """If-None-Match that differs makes If-Modified-Since irrelevant."""
    headers = {"if-none-match": "other", "if-modified-since": LATER}
    assert judge(headers, ETAG, MODIFIED) is Verdict.PASS


CONTENT = bytes(i % 251 for i in range(1000))
WHOLE = (200, 0, 1000)

ROWS = [
    # Range, without the extra header, with x-oss-range-behavior: standard
    ("bytes=0-499", (206, 0, 500), (206, 0, 500)),
    ("bytes=0-0", (206, 0, 1), (206, 0, 1)),
    ("bytes=0-999", (206, 0, 1000), (206, 0, 1000)),
    ("bytes=500-", (206, 500, 1000), (206, 500, 1000)),
    ("bytes=-100", (206, 900, 1000), (206, 900, 1000)),
    ("bytes=-1000", (206, 0, 1000), (206, 0, 1000)),
    ("bytes=500-2000", WHOLE, (206, 500, 1000)),
    ("bytes=0-1000", WHOLE, (206, 0, 1000)),
    ("bytes=1000-", WHOLE, (416, 0, 0)),
    ("bytes=1000-2000", WHOLE, (416, 0, 0)),
    ("bytes=-2000", WHOLE, (206, 0, 1000)),
    ("bytes=-0", WHOLE, (416, 0, 0)),
    ("byte=0-4", WHOLE, WHOLE),
    ("bytes=4-0", WHOLE, WHOLE),
    ("bytes=a-b", WHOLE, WHOLE),
    ("bytes=-", WHOLE, WHOLE),
    ("bytes=0-9,20-29", (206, 0, 10), (206, 0, 10)),
]
RANGE_CASES = [(row[0], standard, row[1 + standard]) for row in ROWS for standard in (False, True)]


@pytest.mark.parametrize(("header", "standard", "expected"), RANGE_CASES)
def test_a_row_of_the_range_table(
    emulator: EmulatorProcess, header: str, standard: bool, expected: tuple[int, int, int]
) -> None:
    """A 1000-byte object answers each documented Range with the documented status and bytes."""
    (emulator.directory / "o").write_bytes(CONTENT)
    headers = {"Range": header} | ({"x-oss-range-behavior": "standard"} if standard else {})
    answer = emulator.request("GET", emulator.target("o"), headers=headers)
    status, start, stop = expected
    assert answer.status == status
    if status == 416:
        assert b"<Code>InvalidRange</Code>" in answer.body
        return
    assert answer.body == CONTENT[start:stop]
    shown = f"bytes {start}-{stop - 1}/1000" if status == 206 else None
    assert answer.headers.get("content-range") == shown


def test_the_checksum_of_a_part_is_that_of_the_whole(emulator: EmulatorProcess) -> None:
    """x-oss-hash-crc64ecma describes the object, whatever the range."""
    (emulator.directory / "o").write_bytes(b"123456789")
    part = emulator.request("GET", emulator.target("o"), headers={"Range": "bytes=2-4"})
    assert part.body == b"345"
    assert part.headers["x-oss-hash-crc64ecma"] == "11051210869376104954"


@pytest.mark.parametrize(("standard", "status"), [("", 200), ("standard", 416)])
def test_an_empty_object_has_no_range(
    emulator: EmulatorProcess, standard: str, status: int
) -> None:
    """With ``standard`` even bytes=0- of an empty object is refused."""
    (emulator.directory / "empty").write_bytes(b"")
    headers = {"Range": "bytes=0-", "x-oss-range-behavior": standard}
    assert emulator.request("GET", emulator.target("empty"), headers=headers).status == status


def test_a_folder_marker_ignores_ranges(emulator: EmulatorProcess) -> None:
    """An empty key that ends in a slash answers 200 to any range."""
    emulator.request("PUT", emulator.target("dir/"))
    headers = {"Range": "bytes=0-", "x-oss-range-behavior": "standard"}
    assert emulator.request("GET", emulator.target("dir/"), headers=headers).status == 200


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60))
def test_standard_is_the_intersection_with_the_object(size: int, first: int, last: int) -> None:
    """A well-formed range means, with ``standard``, exactly the bytes that exist of it."""
    wanted = [i for i in range(first, last + 1) if i < size]
    try:
        span = resolve(f"bytes={first}-{last}", size, standard=True)
    except Unsatisfiable:
        assert not wanted
        assert first <= last
    else:
        assert list(span or []) == wanted


@given(st.text(max_size=20), st.integers(0, 50), st.booleans())
def test_any_header_gives_a_range_inside_the_object(text: str, size: int, standard: bool) -> None:
    """No header, however odd, leads outside of the object."""
    for header in (text, f"bytes={text}"):
        try:
            span = resolve(header, size, standard=standard)
        except Unsatisfiable:
            assert standard
        else:
            assert span is None or 0 <= span.start < span.stop <= size
