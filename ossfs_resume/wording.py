"""How messages count, quote and give reasons."""

import os
import re
import shlex

from ossfs_resume.shortages import hint

_SAFE = re.compile(r"[\w@%+=:,./~-]+")


def counted(number: int, noun: str, more: str = "") -> str:
    """``1 object``, ``2 objects``; with ``more`` (" or more"), ``1 or more objects``."""
    return f"{number} {noun}" if number == 1 and not more else f"{number}{more} {noun}s"


def quoted(text: str | os.PathLike[str]) -> str:
    """``text`` as one word of a shell, to be pasted: bare if it can be, line breaks, escape
    sequences and bytes that are no text in the ``$'...'`` of bash and zsh."""
    text = os.fspath(text)
    if _SAFE.fullmatch(text) and not text.startswith("~"):
        return text
    if text.isprintable():
        return shlex.quote(text)
    return f"$'{''.join(map(_escaped, text))}'"


def _escaped(one: str) -> str:
    if one in "\\'":
        return "\\" + one
    if one.isprintable():
        return one
    return "".join(f"\\x{byte:02x}" for byte in one.encode("utf-8", "surrogateescape"))


def lower_first(text: str) -> str:
    """For words that stand in the middle of a line."""
    return text[:1].lower() + text[1:]


def reason(error: Exception) -> str:
    """Why something failed, without Python's ``[Errno 13]``: the file, if the error names one, and
    the system's words for it."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    words = lower_first(error.strerror) + hint(error.errno)
    file = error.filename
    return words if file is None else f"{quoted(os.fsdecode(file))}: {words}"
