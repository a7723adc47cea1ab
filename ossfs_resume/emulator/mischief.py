"""Answers that no client should believe, for a share of the requests or for all of them.

Pure: `choose` says which mischief meets a request, `disturb` makes the answer that it leads to. The
choice depends on a seed and on the number of the request alone, so that every run is the same.
"""

import gzip
from dataclasses import replace
from enum import StrEnum
from random import Random

from ossfs_resume.emulator.answer import Answer, Endless, FilePart


class Mischief(StrEnum):
    """What an origin, or something between it and its client, may do to one request."""

    FAIL = "fail"
    """The error that the faults name."""
    RESET = "reset"
    STALL = "stall"
    """The body stops somewhere, for as long as the faults are in force."""
    TRUNCATE = "truncate"
    """The connection is closed somewhere in the body."""
    WHOLE = "whole"
    """The entire object and 200, whatever range was asked for."""
    SHIFT = "shift"
    """Another range than the one asked for, and the answer says so."""
    LIE = "lie"
    """The range asked for, under the wrong Content-Range."""
    GZIP = "gzip"
    """Compressed on the way: no length, no ETag, no range."""
    HTML = "html"
    """502 and a page for humans."""
    PORTAL = "portal"
    """200 and a page for humans, to everything."""
    REDIRECT = "redirect"
    """To where the request came from."""
    ENDLESS = "endless"
    """200 and XML without end."""
    HEADERS = "headers"
    """A megabyte of headers before the right answer."""


PAGE = b"<!DOCTYPE html><html><body><h1>Please log in</h1></body></html>"
_HTML = {"Content-Type": "text/html"}
_ENTRY = b"<Contents><Key>k</Key><Size>1</Size></Contents>" * 1000
_ENDLESS_BYTES = 1 << 40
_LATEST_BYTE = 200_000


def choose(
    kinds: tuple[Mischief, ...], share: float, seed: int, ordinal: int
) -> tuple[Mischief | None, int]:
    """The mischief that meets the ``ordinal``-th request, and after how many bytes of its body.

    Each of ``kinds`` meets ``share`` of the requests; ``share`` times their number is at most 1.
    """
    if not kinds:
        return None, 0
    chance = Random(f"{seed} {ordinal}")
    index = int(chance.random() / share)
    return (kinds[index] if index < len(kinds) else None), chance.randrange(_LATEST_BYTE)


def disturb(mischief: Mischief | None, target: str, answer: Answer) -> Answer:
    """What is sent in place of ``answer``; ``target`` is what was asked for."""
    match mischief:
        case Mischief.HTML:
            return Answer(502, _HTML, PAGE)
        case Mischief.PORTAL:
            return Answer(200, _HTML, PAGE)
        case Mischief.REDIRECT:
            return Answer(302, {"Location": target})
        case Mischief.ENDLESS:
            xml = {"Content-Type": "application/xml"}
            return Answer(200, xml, Endless(b"<ListBucketResult>", _ENTRY, _ENDLESS_BYTES))
        case Mischief.HEADERS:
            many = {f"x-oss-meta-{number}": "x" * 8000 for number in range(128)}
            return replace(answer, headers={**answer.headers, **many})
    if answer.status == 206 and isinstance(answer.body, FilePart):
        return _disturb_range(mischief, answer, answer.body)
    return answer


def _disturb_range(mischief: Mischief | None, answer: Answer, part: FilePart) -> Answer:
    size, span = part.stored.size, part.span
    moved = range(max(span.start - 1, 0), max(span.stop - 1, 1)) if span.start else span[:-1]
    headers = dict(answer.headers)
    match mischief:
        case Mischief.WHOLE:
            del headers["Content-Range"]
            return Answer(200, headers, FilePart(part.stored, range(size)))
        case Mischief.SHIFT if moved:
            headers["Content-Range"] = f"bytes {moved.start}-{moved.stop - 1}/{size}"
            return Answer(206, headers, FilePart(part.stored, moved))
        case Mischief.LIE:
            headers["Content-Range"] = f"bytes {span.start + 1}-{span.stop}/{size}"
            return Answer(206, headers, part)
        case Mischief.GZIP:
            for name in ("ETag", "Content-Range", "Accept-Ranges", "Content-MD5"):
                headers.pop(name, None)
            packed = gzip.compress(part.stored.read(span.start, len(span)), 1)
            return Answer(200, headers | {"Content-Encoding": "gzip"}, Endless(b"", packed, 1))
    return answer
