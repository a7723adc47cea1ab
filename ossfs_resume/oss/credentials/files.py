"""The files that sources are read from, and the directory that they are in."""

import pwd
from collections.abc import Mapping
from os import getuid
from pathlib import Path

from ossfs_resume.errors import SettingsError

MAX_FILE_BYTES = 1 << 20


class Unreadable(SettingsError):
    """A file is somebody else's, or lies where this user may not look, or nobody knows where."""


def home_directory(environment: Mapping[str, str]) -> Path:
    """The user's own directory. Raises Unreadable if there is none.

    mount(8) leaves HOME unset; users of containers have no entry in the user database.
    """
    if home := environment.get("HOME"):
        return Path(home)
    try:
        return Path(pwd.getpwuid(getuid()).pw_dir)
    except KeyError:
        raise Unreadable(f"the user {getuid()} has no home directory, HOME is not set") from None


def working_directory() -> Path:
    """From where relative paths are meant; the root once it has been removed."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path("/")


def read(file: Path) -> str | None:
    """Its text, at most ``MAX_FILE_BYTES`` characters of it; None if there is no such file.

    Blocks. Raises SettingsError (Unreadable).
    """
    try:
        with file.open(encoding="utf-8-sig") as opened:  # some editors begin a text with a mark
            return opened.read(MAX_FILE_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise Unreadable(f"{file}: {error.strerror}") from None
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file}: not text") from None
