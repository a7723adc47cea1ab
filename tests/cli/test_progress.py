"""What jobs report is added up, and becomes a rate and a time."""

from typing import Any

import pytest

from ossfs_resume.cli.progress import Meter, Reading, added_up


def report(state: str = "running", **values: Any) -> dict[str, Any]:
    numbers = dict.fromkeys(
        ("objects", "objects_done", "total_bytes", "bytes", "reused_bytes", "failed"), 0
    )
    rest = {"is_counted": True, "failures": [], "transferring": [], "error": ""}
    return {"state": state, **numbers, **rest, **values}


def test_what_several_jobs_report_is_added_up() -> None:
    reading = added_up(
        [
            report(objects=2, objects_done=1, total_bytes=30, bytes=20, reused_bytes=5),
            report("failed", objects=3, total_bytes=9, failed=1, failures=[["k", "no"]]),
            report("paused", error="down", transferring=[["d/a", 4, 10]]),
            report("cancelled", is_counted=False),
        ]
    )
    assert reading == Reading(
        5, 1, 39, 20, 5, True, 1, 1, 1, (("k", "no"),), (("d/a", 4, 10),), "down"
    )
    assert reading.fetched_bytes == 15
    assert not added_up([report(is_counted=False)]).is_counted


def test_the_rate_is_that_of_what_is_fetched_of_late() -> None:
    meter = Meter()
    for now, here in ((0, 100), (1, 100), (11, 100), (12, 150), (13, 200)):
        meter.read(Reading(total_bytes=300, bytes=here, reused_bytes=100), now)
    assert meter.rate == pytest.approx(100 / 12)
    for now in (14, 20, 23):
        meter.read(Reading(total_bytes=300, bytes=300, reused_bytes=100), now)
    assert meter.rate == pytest.approx(100 / 10)


def test_the_time_that_is_left_is_known_when_all_is_counted() -> None:
    meter = Meter()
    assert meter.rate == 0
    assert meter.left_s(Reading(total_bytes=10)) is None
    for now, here in ((0, 0), (2, 20)):
        meter.read(Reading(bytes=here), now)
    assert meter.left_s(Reading(total_bytes=70, bytes=20)) == 5
    assert meter.left_s(Reading(total_bytes=70, bytes=20, is_counted=False)) is None


def test_a_job_that_counts_anew_makes_no_negative_rate() -> None:
    meter = Meter()
    for now, here in ((0, 0), (1, 50), (2, 0), (3, 10)):
        meter.read(Reading(bytes=here), now)
    assert meter.rate == 10
