"""Text for one line of a terminal or a log."""


def printable(text: str) -> str:
    """``text`` on one line: whoever puts an object chooses its key, line breaks, escape sequences
    of terminals and bytes that are no text included."""
    if text.isprintable():
        return text
    whole = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in whole)
