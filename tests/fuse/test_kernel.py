"""Limits that cannot be raised are reported, never raised as errors."""

import errno
import os

import pytest

from ossfs_resume.fuse import kernel
from ossfs_resume.fuse.kernel import abort_connection, raise_limits

ABSENT_MINOR = 1_048_575


def test_a_mount_without_limits_gives_a_warning_for_each() -> None:
    report = raise_limits(0, ABSENT_MINOR, read_ahead_kib=512, max_background=4096)
    assert (report.read_ahead_kib, report.max_background) == (None, None)
    assert len(report.warnings) == 2


def test_aborting_what_does_not_exist_fails_quietly() -> None:
    assert not abort_connection(ABSENT_MINOR)


@pytest.mark.parametrize(("ceiling", "achieved"), [(10_000, 4096), (1300, 1024), (10, None)])
def test_a_lower_ceiling_for_users_is_found_by_halving(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, ceiling: int, achieved: int | None
) -> None:
    written: dict[str, int] = {}

    def write(_directory: int, name: str, value: int) -> None:
        if value > ceiling:
            raise OSError(errno.EINVAL, "too many")
        written[name] = value

    monkeypatch.setattr(kernel, "_write_at", write)
    monkeypatch.setattr(kernel, "_CONNECTIONS", str(tmp_path))
    monkeypatch.setattr(kernel, "_open_directory", lambda parent, _name: os.dup(parent))
    report = raise_limits(0, ABSENT_MINOR, read_ahead_kib=512, max_background=4096)
    assert report.max_background == achieved
    expected = {} if achieved is None else dict.fromkeys(written, achieved)
    assert written == expected
