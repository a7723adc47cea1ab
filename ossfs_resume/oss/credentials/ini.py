"""INI files as the Alibaba Cloud tools write them."""

from collections.abc import Mapping
from configparser import Error, RawConfigParser

from ossfs_resume.errors import SettingsError

Sections = Mapping[str, Mapping[str, str]]


def parse(text: str, where: str) -> Sections:
    """Sections and their values; names of values without ``-`` and ``_``, in lower case.

    The tools accept many spellings of one name. Raises SettingsError, which repeats nothing of the
    text: a broken line may be the one with the secret.
    """
    parser = RawConfigParser(strict=False, allow_no_value=True, default_section="")
    parser.optionxform = _plain_name  # type: ignore[method-assign,assignment]
    try:
        parser.read_string(text.removeprefix("\ufeff"))
    except Error as error:
        line = getattr(error, "lineno", None)
        place = f", line {line}" if line else ""
        raise SettingsError(f"{where}{place}: not a file of [section] and name = value") from None
    return {
        section: {name: (value or "").strip() for name, value in parser.items(section)}
        for section in parser.sections()
    }


def _plain_name(name: str) -> str:
    return name.replace("-", "").replace("_", "").strip().lower()
