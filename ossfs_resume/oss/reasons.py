"""Why a connection failed, in words: exceptions of sockets and TLS, as libraries wrap them."""

import ssl

_BROKEN_TLS = (ssl.SSLEOFError, ssl.SSLZeroReturnError)  # a connection that ended, no more


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
    """What the error and its causes say: the outer layers often say nothing or too little."""
    texts: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, BaseExceptionGroup):  # one error for each address of a host
            cause = cause.exceptions[0]
        text = str(cause)
        if text and not any(text in said for said in texts):
            texts.append(text)
        cause = cause.__cause__
    return ": ".join(texts) or type(error).__name__
