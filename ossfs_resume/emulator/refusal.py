"""An answer of OSS that is an error, raised to end a request."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Refusal(Exception):
    """An error answer: HTTP status, OSS code, message, EC and further elements of the body.

    It never leaves the endpoint and is therefore no part of the package's exception tree.
    """

    status: int
    code: str
    message: str
    ec: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


def no_such_key(key: bytes) -> Refusal:
    """404 for a key without object."""
    name = key.decode("utf-8", "replace")
    return Refusal(
        404, "NoSuchKey", "The specified key does not exist.", "0026-00000001", {"Key": name}
    )


def no_such_bucket(bucket: str) -> Refusal:
    """404 for a bucket that is not this endpoint's."""
    return Refusal(
        404,
        "NoSuchBucket",
        "The specified bucket does not exist.",
        "0015-00000101",
        {"BucketName": bucket},
    )


def invalid_argument(message: str, name: str, value: str, ec: str = "") -> Refusal:
    """400 for a parameter or header that makes no sense."""
    details = {"ArgumentName": name, "ArgumentValue": value}
    return Refusal(400, "InvalidArgument", message, ec, details)


def not_implemented(what: str) -> Refusal:
    """501 for an operation of OSS that this endpoint does not offer."""
    message = "A header or query you provided implies functionality that is not implemented."
    return Refusal(501, "NotImplemented", message, "", {"Header": what})


PRECONDITION_FAILED = Refusal(
    412,
    "PreconditionFailed",
    "At least one of the pre-conditions you specified did not hold.",
    "0009-00000601",
)
"""412 for a condition of the request that does not hold."""
