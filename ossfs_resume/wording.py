"""How messages count, quote and give reasons."""

import os
import re
import shlex
from collections.abc import Iterable

from ossfs_resume.shortages import hint

_SAFE = re.compile(r"[\w@%+=:,./~-]+")


def counted(number: int, noun: str, more: str = "") -> str:
    """``1 object``, ``2 objects``; with ``more`` (" or more"), ``1 or more objects``."""
    return f"{number} {noun}" if number == 1 and not more else f"{number}{more} {noun}s"


def quoted(text: str | os.PathLike[str], encoding: str = "utf-8") -> str:
    """``text`` as one word of a shell, to be pasted: bare if it can be; line breaks, escape
    sequences, bytes that are no text, and what a terminal of ``encoding`` cannot show in the
    ``$'...'`` of bash and zsh."""
    text = os.fspath(text)
    if not _is_shown(text, encoding):
        return f"$'{''.join(_escaped(one, encoding) for one in text)}'"
    return text if _SAFE.fullmatch(text) and not text.startswith("~") else shlex.quote(text)


def _is_shown(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return text.isprintable()


def _escaped(one: str, encoding: str) -> str:
    if one in "\\'":
        return "\\" + one
    if _is_shown(one, encoding):
        return one
    return "".join(f"\\x{byte:02x}" for byte in one.encode("utf-8", "surrogateescape"))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The question for the known name that is nearest to a misspelt one, in which ``_`` may stand
    for ``-``; empty if none is near."""
    from difflib import get_close_matches  # only for a slip

    spelt = {one.replace("_", "-"): one for one in known}
    found = get_close_matches(name.lower().replace("_", "-"), spelt, n=1, cutoff=0.75)
    return f"did you mean {spelt[found[0]]}?" if found else ""


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
