"""Where a bucket is: what was given first, then what ossutil was configured with."""

import pytest

from ossfs_resume.errors import SettingsError
from ossfs_resume.oss.credentials import ossutil
from ossfs_resume.oss.location import Location, complete

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
