"""Process-wide changes do what they promise and are taken back."""

import ctypes
import logging
import os
import signal
import threading

import pytest

from ossfs_resume.fuse.process import (
    LateReplies,
    freeze_guard,
    pyfuse3_log_filtered,
    standard_descriptors_replaced,
)
from support.waiting import PATIENCE_S


def test_a_blocking_read_of_c_code_is_interrupted_and_everything_is_restored() -> None:
    reader, writer = os.pipe()
    before = (signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)[1])
    libc = ctypes.CDLL(None, use_errno=True)
    # Without an interruption the read would end here, and with another result.
    rescue = threading.Timer(PATIENCE_S, os.write, (writer, b"x"))
    rescue.start()
    with freeze_guard(interval_s=0.02):
        assert libc.read(reader, ctypes.create_string_buffer(1), 1) == -1
        assert ctypes.get_errno() == 4  # EINTR
    rescue.cancel()
    assert (signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)[1]) == before
    os.close(reader)
    os.close(writer)


def test_standard_error_of_c_code_is_captured_and_the_descriptors_come_back() -> None:
    before = [os.fstat(descriptor).st_ino for descriptor in range(3)]
    with standard_descriptors_replaced() as captured:
        os.write(1, b"to nobody")
        os.write(2, b"first\nfuse: the reason\n")
    assert captured.text == "first\nfuse: the reason\n"
    assert captured.last_line == "fuse: the reason"
    assert [os.fstat(descriptor).st_ino for descriptor in range(3)] == before


def test_descriptors_come_back_after_an_error() -> None:
    before = os.fstat(2).st_ino
    with pytest.raises(RuntimeError), standard_descriptors_replaced():
        raise RuntimeError
    assert os.fstat(2).st_ino == before


def test_late_replies_are_counted_and_whispered(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("pyfuse3")
    caplog.set_level(logging.DEBUG, "pyfuse3")
    with pyfuse3_log_filtered():
        logger.error("fuse_read(): fuse_reply_* failed with %s", os.strerror(2))
        logger.error("fuse_read(): fuse_reply_* failed with %s", os.strerror(5))
    assert [record.levelno for record in caplog.records] == [logging.DEBUG, logging.ERROR]
    assert logger.filters == []


def test_late_replies_are_silent_unless_debugging() -> None:
    late = LateReplies()
    record = logging.LogRecord(
        "pyfuse3", logging.ERROR, "", 0, "fuse_reply_* failed with %s", (os.strerror(2),), None
    )
    assert not late.filter(record)
    assert late.count == 1
