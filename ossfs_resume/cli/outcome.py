"""How a command ends: an exit status, and one line on stderr for every expected error."""

import errno
import os
import sys
from collections.abc import Callable
from enum import IntEnum

import click

from ossfs_resume.cli.lines import printable
from ossfs_resume.errors import OssfsError, SettingsError
from ossfs_resume.shortages import shortage


class Exit(IntEnum):
    """Exit statuses of every command."""

    SUCCESS = 0
    FAILURE = 1
    WRONG_USAGE = 2
    INTERRUPTED = 130


def outcome(run: Callable[[], object]) -> int:
    """Run a command to its exit status. An unexpected error keeps its traceback."""
    try:
        result = run()
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SettingsError as error:
        return _failed(str(error), Exit.WRONG_USAGE)
    except OssfsError as error:
        return _failed(shortage(error) or str(error), Exit.FAILURE)
    except OSError as error:
        if error.errno == errno.EPIPE:  # head(1) has seen enough
            _drop_output()
            return Exit.FAILURE
        if error.errno == errno.ENOSPC:  # of the disk that takes the output
            _drop_output()
            return _failed(f"cannot write the output: {error.strerror}", Exit.FAILURE)
        return _ran_out(error)
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except Exception as error:
        return _ran_out(error)
    return result if isinstance(result, int) else Exit.SUCCESS


def _drop_output() -> None:
    """What is still in the buffer would fail again at the end, and be told once more."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _ran_out(error: Exception) -> Exit:
    line = shortage(error)
    if not line:
        raise error
    return _failed(line, Exit.FAILURE)


def _failed(text: str, status: Exit) -> Exit:
    click.echo(f"ossfs-resume: {printable(' '.join(text.split()))}", err=True)
    return status
