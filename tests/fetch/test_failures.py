"""A range that failed is answered alike for a while, and no other range is."""

from ossfs_resume.errors import ServerFailed
from ossfs_resume.fetch.failures import REMEMBERED_SECONDS, Failures


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
