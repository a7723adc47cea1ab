"""The files that sources are read from."""

from pathlib import Path

from ossfs_resume.errors import SettingsError

MAX_FILE_BYTES = 1 << 20


def read(file: Path) -> str | None:
    """Its text, at most ``MAX_FILE_BYTES`` characters of it; None if there is no such file.

    Blocks. Raises SettingsError.
    """
    try:
        with file.open(encoding="utf-8-sig") as opened:  # some editors begin a text with a mark
            return opened.read(MAX_FILE_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file}: not text") from None
