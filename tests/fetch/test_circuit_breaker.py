"""One line when it begins, one when it ends, and a try every few seconds."""

import logging

import pytest

from ossfs_resume.fetch.circuit_breaker import CALM_SECONDS, RETRY_SECONDS, CircuitBreaker

FULL = OSError(28, "No space left on device")


def test_a_row_of_failures_is_one_line_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    trouble = CircuitBreaker("written")
    for now in range(20):
        trouble.failed(FULL, now)
    trouble.succeeded(19 + CALM_SECONDS)
    trouble.succeeded(30 + CALM_SECONDS)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "No space left" in caplog.records[0].message


def test_an_ill_disk_is_left_alone_for_a_while() -> None:
    trouble = CircuitBreaker("written")
    assert not trouble.is_resting(0)
    trouble.failed(FULL, 10)
    assert trouble.is_resting(10 + RETRY_SECONDS / 2)
    assert not trouble.is_resting(10 + RETRY_SECONDS)


def test_small_successes_between_failures_do_not_end_it() -> None:
    trouble = CircuitBreaker("written")
    trouble.failed(FULL, 10)
    trouble.succeeded(10 + RETRY_SECONDS)
    assert trouble.error
    assert not trouble.is_resting(10 + RETRY_SECONDS)
    trouble.succeeded(10 + CALM_SECONDS)
    assert not trouble.error


def test_it_ends_by_itself_if_nobody_uses_the_disk_after_it_worked() -> None:
    trouble = CircuitBreaker("written")
    trouble.failed(FULL, 10)
    trouble.succeeded(10 + RETRY_SECONDS)
    trouble.settle(10 + CALM_SECONDS)
    assert not trouble.error
    trouble.failed(FULL, 20)
    trouble.settle(20 + CALM_SECONDS)
    assert trouble.error


def test_a_bad_spot_is_no_reason_to_rest() -> None:
    trouble = CircuitBreaker("read")
    trouble.failed(OSError(5, "Input/output error"), 10, rest=False)
    assert trouble.error
    assert not trouble.is_resting(10)
