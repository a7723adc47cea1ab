"""Conditional requests over the wire."""

import os
from email.utils import formatdate

import pytest

from ossfs_resume.emulator.conditions import Verdict, judge
from support.emulator import EmulatorProcess

ETAG = "5D41402ABC4B2A76B9719D911017C592"  # MD5 of b"hello"
MODIFIED = 1_700_000_000
EARLIER, SAME, LATER = (formatdate(MODIFIED + d, usegmt=True) for d in (-10, 0, 10))

CASES = [
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


@pytest.mark.parametrize(("headers", "status"), CASES)
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
