"""If-Match, If-None-Match, If-Modified-Since and If-Unmodified-Since."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from enum import Enum


class Verdict(Enum):
    """What the conditions of a request lead to."""

    PASS = 200
    NOT_MODIFIED = 304
    FAILED = 412


def judge(headers: Mapping[str, str], etag: str, modified: int) -> Verdict:
    """Judge a GET or HEAD; ``etag`` without quotes, ``modified`` in Unix seconds.

    An ETag may be given quoted or bare: oss2 sends it bare. A condition on the ETag takes
    precedence over the one on the time (RFC 9110, 13.2.2). Unreadable dates count as absent.
    """
    if (wanted := headers.get("if-match")) is not None:
        if not _names(wanted, etag):
            return Verdict.FAILED
    elif (limit := _unix_time(headers.get("if-unmodified-since"))) is not None and modified > limit:
        return Verdict.FAILED
    if (known := headers.get("if-none-match")) is not None:
        return Verdict.NOT_MODIFIED if _names(known, etag) else Verdict.PASS
    limit = _unix_time(headers.get("if-modified-since"))
    return Verdict.NOT_MODIFIED if limit is not None and modified <= limit else Verdict.PASS


def _names(header: str, etag: str) -> bool:
    tags = [tag.strip().strip('"') for tag in header.split(",")]
    return etag in tags or "*" in tags


def _unix_time(header: str | None) -> float | None:
    try:
        return parsedate_to_datetime(header).timestamp() if header else None
    except ValueError:
        return None
