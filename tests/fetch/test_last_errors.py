"""Errors that are remembered are few, and hold nothing but what they say."""

import gc
import weakref

from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.errors import OriginError, ServerFailed
from ossfs_resume.fetch.last_errors import LastErrors

VERSION = ObjectVersion("key", "etag", 1)


class Buffer(bytearray):
    """One that can be watched."""


def fail() -> tuple[OriginError, weakref.ref[Buffer]]:
    """An error that was raised by a frame with a buffer, and caused by another one."""
    buffer = Buffer(b"data")
    try:
        try:
            raise ConnectionError(len(buffer))
        except ConnectionError as error:
            raise ServerFailed(
                "no luck", status=503, code="Busy", request_id="R", ec="1"
            ) from error
    except OriginError as error:
        return error, weakref.ref(buffer)


def test_a_remembered_error_says_what_it_said() -> None:
    errors = LastErrors[ObjectVersion]()
    errors.keep(VERSION, fail()[0])
    error = errors.of(VERSION)
    assert isinstance(error, ServerFailed)
    assert str(error) == "no luck"
    assert (error.status, error.code, error.request_id, error.ec) == (503, "Busy", "R", "1")


def test_a_remembered_error_does_not_hold_the_buffers_of_those_who_met_it() -> None:
    errors = LastErrors[ObjectVersion]()
    error, buffer = fail()
    errors.keep(VERSION, error)
    del error
    gc.collect()
    assert buffer() is None
