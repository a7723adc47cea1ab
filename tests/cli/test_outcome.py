"""Every end of a command is an exit status, and every expected error one line."""

import errno

import click
import pytest

from ossfs_resume.cli.outcome import outcome
from ossfs_resume.errors import MountError, SettingsError


def fail(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MountError("no\n such   thing"), 1),
        (SettingsError("bad"), 2),
        (click.UsageError("bad"), 2),
        (click.ClickException("bad"), 1),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (click.exceptions.Exit(3), 3),
        (OSError(errno.ENOSPC, "No space left on device"), 1),
    ],
)
def test_status(error: BaseException, status: int) -> None:
    assert outcome(lambda: fail(error)) == status


def test_a_message_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    outcome(lambda: fail(MountError("no\n such   thing")))
    assert capsys.readouterr().err == "ossfs-resume: no such thing\n"


def test_success_is_zero_unless_the_command_says_otherwise() -> None:
    assert outcome(lambda: None) == 0
    assert outcome(lambda: 7) == 7


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        outcome(lambda: 1 // 0)
