"""Why a connection failed is said once."""

import socket

import pytest
import trio

from ossfs_resume.errors import OriginError
from ossfs_resume.oss.error_text import reason_of
from ossfs_resume.oss.request import Request
from ossfs_resume.oss.transport import Transport, tls_context


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_refused_connection_is_one_clean_text() -> None:
    port = unused_port()
    transport = Transport(
        f"http://localhost:{port}", connections=1, silence_s=5.0, context=tls_context()
    )
    with pytest.raises(OriginError) as caught:
        async with transport.send(Request("GET", "/", "/")):
            pass
    await transport.aclose()
    assert str(caught.value) == f"localhost:{port}: connection refused"


async def test_a_socket_of_trios_says_it_once_too() -> None:
    with pytest.raises(OSError) as caught:
        await trio.open_tcp_stream("127.0.0.1", unused_port())
    assert reason_of(caught.value) == "connection refused"


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(OSError) as caught:
        socket.getaddrinfo("oss.nowhere.invalid", 80)
    reason = reason_of(caught.value)
    assert "Errno" not in reason
    assert reason[0].islower()


def test_layers_that_add_something_are_kept() -> None:
    inner, outer = ValueError("the header is odd"), RuntimeError("cannot ask")
    outer.__cause__ = inner
    assert reason_of(outer) == "cannot ask: the header is odd"


def test_who_says_nothing_is_named() -> None:
    assert reason_of(type("ReadTimeout", (Exception,), {})()) == "nothing arrived in time"
    assert reason_of(KeyError()) == "KeyError"
