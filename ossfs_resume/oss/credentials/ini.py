"""INI files as the Alibaba Cloud tools write them."""

from collections.abc import Callable, Mapping
from configparser import Error, RawConfigParser

from ossfs_resume.errors import SettingsError

Sections = Mapping[str, Mapping[str, str]]


def plain_name(name: str) -> str:
    """``name`` without ``-`` and ``_``, in lower case: the tools accept many spellings of one."""
    return name.replace("-", "").replace("_", "").strip().lower()


def parse(text: str, where: str, spelled: Callable[[str], str] = plain_name) -> Sections:
    """Sections and their values, whose names are as ``spelled`` returns them.

    Raises SettingsError, which repeats nothing of the text: a broken line may be the one with the
    secret.
    """
    parser = RawConfigParser(strict=False, allow_no_value=True, default_section="")
    parser.optionxform = spelled  # type: ignore[method-assign,assignment]
    try:
        # An indented line would go on with the value above; the tools take it for one of its own.
        parser.read_string("\n".join(line.strip() for line in text.split("\n")))
    # The parser means to append to a value that it has taken for none ("0\n\r0").
    except (Error, AttributeError) as error:
        line = getattr(error, "lineno", None)
        place = f", line {line}" if line else ""
        raise SettingsError(f"{where}{place}: not a file of [section] and name = value") from None
    return {
        section: {name: (value or "").strip() for name, value in parser.items(section)}
        for section in parser.sections()
    }
