"""An outage is told once when it begins and once when it is over."""

import logging

import pytest

from ossfs_resume.errors import AccessDenied, OriginTimeout, ServerFailed, Throttled, Unreachable
from ossfs_resume.oss.outage import Outage


def test_three_failures_in_a_row_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage = Outage("oss.example")
    kinds = (OriginTimeout, ServerFailed, Unreachable) * 5
    errors = [kind("oss.example: connection refused") for kind in kinds]
    for number, error in enumerate(errors):
        outage.failed(error, float(number))
    assert [error.is_told for error in errors] == [False, False] + [True] * 13
    outage.answered(60.0)
    outage.answered(61.0)
    assert caplog.messages == [
        "oss.example does not answer: connection refused; what is cached is served,"
        " the rest is tried again",
        "oss.example answers again, after 60 s",
    ]


def test_an_answer_between_is_no_outage(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage = Outage("oss.example")
    for _ in range(10):
        outage.failed(Unreachable("reset"), 0.0)
        outage.failed(Unreachable("reset"), 0.0)
        outage.answered(0.0)
    assert caplog.messages == []


def test_who_refuses_or_slows_down_answers(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage("oss.example")
    for error in (AccessDenied("no"), Throttled("slow down")) * 5:
        outage.failed(error, 0.0)
        assert not error.is_told
    assert caplog.messages == []
