"""Answers as values: status, headers and a body in memory or in an open file."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from ossfs_resume.emulator import xml
from ossfs_resume.emulator.bucket import Stored
from ossfs_resume.emulator.refusal import Refusal
from ossfs_resume.emulator.request import Request


@dataclass(frozen=True, slots=True)
class FilePart:
    """Bytes ``span`` of an open object; whoever sends the answer closes it."""

    stored: Stored
    span: range


@dataclass(frozen=True, slots=True)
class Endless:
    """``head``, then ``piece`` until ``at_least`` bytes are sent; no length is announced."""

    head: bytes
    piece: bytes
    at_least: int


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer without the headers that all answers share."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | FilePart | Endless = b""


def xml_answer(body: bytes) -> Answer:
    """200 with an XML document."""
    return Answer(200, {"Content-Type": "application/xml"}, body)


def refusal_answer(refusal: Refusal, request: Request, request_id: str) -> Answer:
    """Say a refusal as OSS does: an XML body, or for HEAD the same in ``x-oss-err``."""
    elements = {
        "Code": refusal.code,
        "Message": refusal.message,
        "RequestId": request_id,
        "HostId": request.headers.get("host", ""),
        **refusal.details,
        "EC": refusal.ec,
    }
    body = xml.error_body(elements)
    headers = {"x-oss-ec": refusal.ec} if refusal.ec else {}
    if request.method == "HEAD":
        return Answer(refusal.status, headers | {"x-oss-err": base64.b64encode(body).decode()})
    return Answer(refusal.status, headers | {"Content-Type": "application/xml"}, body)
