"""The debug message of each answer: what was asked for, which bytes, and how it went."""

import logging
import re
from collections.abc import Mapping

from ossfs_resume.oss.request import Request

log = logging.getLogger(__name__)

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


def log_answer(wanted: Request, status: int, headers: Mapping[str, str], elapsed_s: float) -> None:
    """``elapsed_s``: from the request to the headers of the answer."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    request_id = headers.get("x-oss-request-id", "")
    fields: dict[str, object] = {"status": status, "request_id": request_id or None}
    fields |= {"key": wanted.resource.split("/", 2)[2] or None, "seconds": round(elapsed_s, 3)}
    text = ""
    if match := _RANGE.fullmatch(wanted.headers.get("range", "")):
        first, stop = int(match[1]), int(match[2]) + 1
        fields |= {"first": first, "stop": stop, "bytes": stop - first}
        text = f" bytes {first} to {stop} ({stop - first})"
    log.debug(
        "%s %s%s: %d, %.3f s, id %s",
        wanted.method, wanted.target, text, status, elapsed_s, request_id or "none", extra=fields,
    )  # fmt: skip
