"""A range that failed is answered alike for a while, and no other range is. Errors that are
remembered are few, and hold nothing but what they say.
"""

import gc
import weakref

from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.errors import OriginError, ServerFailed
from ossfs_resume.fetch.recent_errors import REMEMBERED_SECONDS, Failures, LastErrors


def test_what_failed_is_said_for_its_own_parts_and_not_for_ever() -> None:
    failures, error = Failures(), ServerFailed("503")
    failures.add(range(4, 8), error, now=100.0)
    assert failures.of(range(7, 9), 101.0) is error
    assert failures.of(range(5), 101.0) is error
    assert failures.of(range(4), 101.0) is None
    assert failures.of(range(8, 9), 101.0) is None
    assert failures.of(range(4, 8), 100.0 + REMEMBERED_SECONDS) is None
    assert len(failures) == 0


def test_the_oldest_failure_that_still_counts_is_the_answer() -> None:
    failures = Failures()
    first, second = ServerFailed("first"), ServerFailed("second")
    failures.add(range(4), first, now=0.0)
    failures.add(range(4), second, now=REMEMBERED_SECONDS - 1)
    assert failures.of(range(1), 1.0) is first
    assert failures.of(range(1), REMEMBERED_SECONDS) is second


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
