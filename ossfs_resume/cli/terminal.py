"""Names of any language on a terminal of any encoding."""

import io
import os
import sys
from contextlib import suppress


def prepare() -> None:
    """Take arguments and paths for UTF-8, as keys are, and escape what cannot be shown.

    Where the locale has another encoding (latin-1, plain C) the program begins anew in Python's
    UTF-8 mode: an argument would name another key than the one that was meant.
    """
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        os.environ.setdefault("PYTHONIOENCODING", output_encoding())
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError):  # somebody has put a pipe in the place of a file
                stream.reconfigure(errors="backslashreplace")


def output_encoding() -> str:
    """That of what is printed for people."""
    return getattr(sys.stdout, "encoding", None) or "utf-8"
