"""What ran out is found wherever it hides, and told once a minute."""

import errno
import logging

import pytest

from ossfs_resume import shortages
from ossfs_resume.errors import CacheError
from ossfs_resume.shortages import hint, log_failure, shortage

log = logging.getLogger("ossfs_resume.test")


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


FILES = OSError(errno.EMFILE, "Too many open files")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FILES, shortages.FILES),
        (OSError(errno.ENFILE, "x"), shortages.FILES_OF_ALL),
        (MemoryError(), shortages.MEMORY),
        (RuntimeError("can't start new thread"), shortages.THREADS),
        (CacheError("fuse: fork() failed: x"), shortages.THREADS),
        (caused(CacheError("cannot open"), FILES), shortages.FILES),
        (
            ExceptionGroup("of a nursery", [ValueError(), ExceptionGroup("", [FILES])]),
            shortages.FILES,
        ),
        (OSError(errno.ENOENT, "x"), ""),
        (ExceptionGroup("of a nursery", [ValueError()]), ""),
    ],
)
def test_what_ran_out(error: BaseException, line: str) -> None:
    assert shortage(error) == line


def test_an_error_taken_out_of_its_group_is_a_ring() -> None:
    error = ValueError("no")
    error.__cause__ = ExceptionGroup("of a nursery", [error])
    assert shortage(error) == ""


def test_it_is_told_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(shortages, "_told", {})
    monkeypatch.setattr(shortages.time, "monotonic", lambda: now)
    for _ in range(1000):
        log_failure(log, "lookup", MemoryError())
    log_failure(log, "lookup", FILES)
    now += shortages.SILENCE_S
    log_failure(log, "read", MemoryError())
    expected = [f"lookup failed: {shortages.MEMORY}", f"lookup failed: {shortages.FILES}"]
    assert caplog.messages == [*expected, f"read failed: {shortages.MEMORY}"]
    assert all(record.exc_info is None for record in caplog.records)


def test_a_defect_keeps_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    log_failure(log, "lookup", ZeroDivisionError())
    [record] = caplog.records
    assert record.getMessage() == "lookup failed unexpectedly"
    assert record.exc_info is not None


def test_the_system_s_words_get_a_hint() -> None:
    assert hint(errno.EMFILE) == " (raise ulimit -n)"
    assert hint(errno.ENOENT) == hint(None) == ""
