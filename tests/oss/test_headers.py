"""What headers say of an object: what is complete is read, anything else is refused."""

import pytest

from ossfs_resume.errors import BadAnswer
from ossfs_resume.oss.headers import (
    LATEST_S,
    parse_crc64,
    parse_http_date,
    parse_meta,
    parse_symlink,
)
from ossfs_resume.oss.models import ObjectMeta, Symlink

HEAD = {
    "content-length": "344606",
    "etag": '"5B3C-2"',
    "last-modified": "Mon, 18 May 2020 05:45:43 GMT",
    "x-oss-hash-crc64ecma": "18446744073709551615",
    "x-oss-version-id": "V",
    "x-oss-object-type": "Multipart",
    "x-oss-storage-class": "IA",
}

ODD_NUMBERS = [
    "9" * 30,
    "9" * 6000,
    "lots",
    "1_000",
    " 12 ",
    "+5",
    "-5",
    "\uff11\uff12",
    "1.0",
    "0x1",
]


def test_metadata() -> None:
    assert parse_meta("k", HEAD) == ObjectMeta(
        "k", 344606, "5B3C-2", 1589780743, 2**64 - 1, "V", "Multipart", "IA"
    )


def test_the_version_id_in_the_other_spelling() -> None:
    given = {name: text for name, text in HEAD.items() if name != "x-oss-version-id"}
    assert parse_meta("k", given | {"x-oss-versionid": "V"}).version_id == "V"


def test_old_objects_lack_much() -> None:
    needed = ("content-length", "etag", "last-modified")
    meta = parse_meta("k", {name: HEAD[name] for name in needed})
    assert meta == ObjectMeta("k", 344606, "5B3C-2", 1589780743)


@pytest.mark.parametrize(
    "change", [{"content-length": ""}, {"content-length": "x"}, {"last-modified": "x"}]
)
def test_incomplete_metadata_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(BadAnswer):
        parse_meta("k", HEAD | change)


def test_the_checksum_of_a_symbolic_link_is_not_the_content_s() -> None:
    assert parse_crc64(HEAD | {"x-oss-object-type": "Symlink"}) is None


@pytest.mark.parametrize("number", [*ODD_NUMBERS, str(1 << 64)])
def test_a_checksum_that_is_none_is_a_bad_answer(number: str) -> None:
    with pytest.raises(BadAnswer):
        parse_crc64({"x-oss-hash-crc64ecma": number})


@pytest.mark.parametrize(
    "date",
    [
        f"Mon, 18 May {'2' * 5000} 05:45:43 GMT",
        "Mon, 18 May \uff12\uff10\uff12\uff10 05:45:43 GMT",
        "Mon, 1_8 May 2020 05:45:43 GMT",
        "Mon, 18 May 2020 99:99:99 GMT",
        "",
        " ",
    ],
)
def test_a_date_that_is_none_is_refused(date: str) -> None:
    with pytest.raises(ValueError):
        parse_http_date(date)


def test_a_symlink() -> None:
    headers = {
        "x-oss-symlink-target": "dir%2Fa%20%E4%B8%AD",
        "etag": '"L1"',
        "last-modified": "Mon, 18 May 2020 05:45:43 GMT",
    }
    assert parse_symlink(headers) == Symlink("dir/a 中", "L1", 1589780743)
    with pytest.raises(BadAnswer):
        parse_symlink(headers | {"last-modified": "never"})


@pytest.mark.parametrize("size", [*ODD_NUMBERS, "", str(1 << 63)])
def test_a_size_that_no_object_can_have_is_refused(size: str) -> None:
    headers = {"etag": "E", "last-modified": "Mon, 18 May 2020 05:45:43 GMT"}
    with pytest.raises(BadAnswer):
        parse_meta("k", headers | {"content-length": size})


@pytest.mark.parametrize("year", ["0001", "1969", "9999"])
def test_a_date_that_no_file_can_have_is_moved_into_reach(year: str) -> None:
    assert 0 <= parse_http_date(f"Mon, 18 May {year} 05:45:43 GMT") < LATEST_S
