"""Pages of a listing: properties of the pure function, then the two protocols on the wire."""

import os
import re
from urllib.parse import quote, unquote
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.emulator.listing import common_prefix, cut_page
from support.emulator import EmulatorProcess

names = st.text("ab/-~\xff", min_size=1, max_size=6).map(str.encode)
key_lists = st.lists(names, unique=True, max_size=30).map(sorted)
short = st.text("ab/", max_size=2).map(str.encode)


def expected_names(keys: list[bytes], prefix: bytes, delimiter: bytes) -> list[bytes]:
    """The whole listing by brute force: each key or what it collapses into, once."""
    chosen = [key for key in keys if key.startswith(prefix)]
    return sorted({common_prefix(key, prefix, delimiter) or key for key in chosen})


@given(key_lists, short, st.sampled_from([b"", b"/", b"ab"]), st.integers(1, 8))
def test_pages_add_up_to_the_listing(
    keys: list[bytes], prefix: bytes, delimiter: bytes, limit: int
) -> None:
    """For every page size the pages, one after the other, are the whole listing."""
    seen: list[bytes] = []
    after = b""
    while True:
        page = cut_page(keys, prefix=prefix, delimiter=delimiter, after=after, limit=limit)
        seen += sorted(page.keys + page.prefixes)
        assert len(page.keys) + len(page.prefixes) <= limit
        if not page.is_truncated:
            break
        assert len(page.keys) + len(page.prefixes) == limit
        after = page.last
    assert seen == expected_names(keys, prefix, delimiter)


@given(key_lists, names, short)
def test_start_after_is_exclusive(keys: list[bytes], after: bytes, prefix: bytes) -> None:
    """Without delimiter exactly the keys behind ``after`` are listed, whether it exists or not."""
    page = cut_page(keys, prefix=prefix, after=after, limit=1000)
    assert list(page.keys) == [key for key in keys if key > after and key.startswith(prefix)]


def list_page(emulator: EmulatorProcess, **parameters: object) -> ElementTree.Element:
    query = "&".join(
        f"{name.replace('_', '-')}={quote(str(value), safe='')}"
        for name, value in parameters.items()
    )
    answer = emulator.request("GET", f"/{emulator.bucket}/?{query}")
    assert answer.status == 200, answer.body
    return ElementTree.fromstring(answer.body)


def texts(page: ElementTree.Element, path: str) -> list[str]:
    return [element.text or "" for element in page.findall(path)]


@pytest.fixture
def tree(emulator: EmulatorProcess) -> EmulatorProcess:
    """A bucket in which byte order, tree order and collation all differ."""
    for name in ["a-1", "a/1", "a/2/x", "a/2/y", "Z", "b", "中", "ü", "a0", "c d+e"]:
        path = emulator.directory / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(name.encode())
    return emulator


def test_keys_come_in_byte_order(tree: EmulatorProcess) -> None:
    """The order is that of UTF-8 bytes: capitals first, '-' before '/', beyond ASCII last."""
    expected = ["Z", "a-1", "a/1", "a/2/x", "a/2/y", "a0", "b", "c d+e", "ü", "中"]
    assert texts(list_page(tree, list_type=2), "Contents/Key") == expected
    assert texts(list_page(tree), "Contents/Key") == expected


def test_a_delimiter_collapses(tree: EmulatorProcess) -> None:
    """Below a prefix, keys with a further delimiter appear as one common prefix each."""
    page = list_page(tree, list_type=2, prefix="a/", delimiter="/")
    assert texts(page, "Contents/Key") == ["a/1"]
    assert texts(page, "CommonPrefixes/Prefix") == ["a/2/"]
    assert page.findtext("KeyCount") == "2"
    assert page.findtext("IsTruncated") == "false"


def test_v2_pages_by_token(tree: EmulatorProcess) -> None:
    """Continuation tokens lead through all names, and start-after only sets the beginning."""
    seen: list[str] = []
    more: dict[str, object] = {"start_after": "a-1"}
    while more:
        page = list_page(tree, list_type=2, delimiter="/", max_keys=2, **more)
        seen += texts(page, "Contents/Key") + texts(page, "CommonPrefixes/Prefix")
        token = page.findtext("NextContinuationToken")
        assert (page.findtext("IsTruncated") == "true") == (token is not None)
        more = {"continuation_token": token} if token else {}
    assert sorted(seen, key=str.encode) == ["a/", "a0", "b", "c d+e", "ü", "中"]


def test_v1_pages_by_marker(tree: EmulatorProcess) -> None:
    """NextMarker, a key or a common prefix, leads through all names; V1 always shows the owner."""
    seen: list[str] = []
    marker: str | None = ""
    while marker is not None:
        page = list_page(tree, delimiter="/", max_keys=1, marker=marker)
        assert page.find("KeyCount") is None
        assert len(page.findall("Contents/Owner/ID")) == len(page.findall("Contents"))
        seen += texts(page, "Contents/Key") + texts(page, "CommonPrefixes/Prefix")
        marker = page.findtext("NextMarker")
    assert seen == ["Z", "a-1", "a/", "a0", "b", "c d+e", "ü", "中"]


def test_url_encoding_covers_every_name(tree: EmulatorProcess) -> None:
    """With encoding-type=url keys, prefixes and delimiter are percent-encoded, space as %20."""
    page = list_page(tree, list_type=2, delimiter="/", prefix="", encoding_type="url")
    assert page.findtext("EncodingType") == "url"
    assert page.findtext("Delimiter") == "%2F"
    assert "c%20d%2Be" in texts(page, "Contents/Key")
    assert [unquote(p) for p in texts(page, "CommonPrefixes/Prefix")] == ["a/"]


def test_owner_only_on_request_in_v2(tree: EmulatorProcess) -> None:
    """V2 shows the owner with fetch-owner=true alone."""
    assert list_page(tree, list_type=2).find("Contents/Owner") is None
    assert list_page(tree, list_type=2, fetch_owner="true").find("Contents/Owner/ID") is not None


def test_an_entry_says_what_head_says(tree: EmulatorProcess) -> None:
    """ETag (in quotes), size, type and class of a listing are those of HEAD."""
    entry = list_page(tree, list_type=2, prefix="b").find("Contents")
    head = tree.request("HEAD", tree.target("b")).headers
    assert entry is not None
    assert entry.findtext("ETag") == head["etag"]
    assert entry.findtext("Size") == head["content-length"]
    assert entry.findtext("Type") == head["x-oss-object-type"]
    assert entry.findtext("StorageClass") == head["x-oss-storage-class"]


@pytest.mark.parametrize(
    "query", ["max-keys=0", "max-keys=1001", "max-keys=x", "list-type=2&continuation-token=%2A%2A"]
)
def test_bad_arguments(emulator: EmulatorProcess, query: str) -> None:
    """max-keys outside of 1..1000 and a foreign token are 400 InvalidArgument."""
    answer = emulator.request("GET", f"/{emulator.bucket}/?{query}")
    assert answer.status == 400
    assert b"<Code>InvalidArgument</Code>" in answer.body


def test_changes_show_at_once(emulator: EmulatorProcess) -> None:
    """A listing's first page shows every change before it, made over HTTP or on the disk."""
    emulator.request("PUT", emulator.target("d/put"), body=b"x")
    (emulator.directory / "written").write_bytes(b"")
    assert texts(list_page(emulator, list_type=2), "Contents/Key") == ["d/put", "written"]
    emulator.request("DELETE", emulator.target("d/put"))
    (emulator.directory / "written").rename(emulator.directory / "d" / "renamed")
    assert texts(list_page(emulator, list_type=2), "Contents/Key") == ["d/renamed"]


def test_what_is_no_file_is_no_object(emulator: EmulatorProcess) -> None:
    """A link to itself made the whole listing fail."""
    (emulator.directory / "file").write_bytes(b"x")
    (emulator.directory / "loop").symlink_to("loop")
    (emulator.directory / "dangling").symlink_to("nothing")
    os.mkfifo(emulator.directory / "pipe")
    body = emulator.request("GET", "/sample?list-type=2").body
    assert re.findall(rb"<Key>(.*?)</Key>", body) == [b"file"]


def test_an_empty_bucket_lists_nothing(emulator: EmulatorProcess) -> None:
    """No keys, not truncated; directories without files are no objects."""
    (emulator.directory / "empty").mkdir()
    page = list_page(emulator, list_type=2, delimiter="/")
    assert page.findtext("KeyCount") == "0"
    assert page.findtext("IsTruncated") == "false"
