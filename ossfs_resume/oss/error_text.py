"""Why a connection failed, in words: exceptions of sockets and TLS, as libraries wrap them."""

import os
import socket
import ssl
from collections.abc import Iterator

from ossfs_resume.shortages import hint
from ossfs_resume.wording import lower_first

_BROKEN_TLS = (ssl.SSLEOFError, ssl.SSLZeroReturnError)  # a connection that ended, no more

_TIMEOUTS = {
    "ConnectTimeout": "no connection came about in time",
    "ReadTimeout": "nothing arrived in time",
    "WriteTimeout": "nothing could be sent in time",
    "PoolTimeout": "all connections are busy",
}
"""What libraries call their exceptions that say nothing."""


def explain_tls(error: BaseException) -> str:
    """Why a handshake failed and what to do; empty if it was something else that failed."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__  # httpcore drops the former
    match cause:
        case ssl.SSLCertVerificationError():
            remedy = (
                "check --endpoint and this machine's clock; "
                "for a certificate of your own give --ca-bundle FILE"
            )
        case ssl.SSLError() if cause.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
            remedy = "this port does not speak TLS: give --endpoint http://..."
        case ssl.SSLError() if not isinstance(cause, _BROKEN_TLS):
            remedy = "the two sides cannot agree on TLS"
        case _:
            return ""
    return f"TLS: {reason_of(error)}; {remedy}"


def reason_of(error: BaseException) -> str:
    """What the error and its causes say: the system's words if it has any, which the layers above
    only repeat; else what each layer adds, since the outer ones often say too little."""
    chain = list(_chain(error))
    for cause in reversed(chain):
        if words := _words(cause):
            return words
    texts: list[str] = []
    for cause in chain:
        text = str(cause)
        if text and not any(text in said for said in texts):
            texts.append(text)
    name = type(error).__name__
    return ": ".join(texts) or _TIMEOUTS.get(name, name)


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, BaseExceptionGroup):  # one error for each address of a host
            cause = cause.exceptions[0]
        yield cause
        cause = cause.__cause__


def _words(error: BaseException) -> str:
    """What the system says, without what a library wrote around it; empty if it says nothing."""
    if isinstance(error, socket.gaierror):
        return lower_first(error.strerror or "")
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.errno:
        return lower_first(os.strerror(error.errno)) + hint(error.errno)
    return ""
